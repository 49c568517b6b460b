/** `fp oracle …`: make, copy, pack, seal, check, view and withdraw worlds. All but `check` need the writer keys. */
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { ObjectStore } from '../../lib/index.ts';
import { loadSettings, type Settings, type TrafficMode } from '../rails/index.ts';
import { checkWorld, type CheckReport } from './check.ts';
import { readLastPack, rememberLastPack, type LastPack } from './last-pack.ts';
import { OracleError } from './oracle-error.ts';
import { readPack } from './pack-reader.ts';
import { packEngineRun, sealPack, tombstonePack } from './pack-writer.ts';
import { outputsOfModes, prepareWorld } from './prepare.ts';
import { ProgressLine } from './progress-line.ts';
import { sampleIdentity, writeSampleWorld, type SampleRequest } from './sample/sample-world.ts';
import { syncEngineRun } from './sync.ts';
import { buildView } from './view-builder.ts';

const DEFAULT_EVENTS = 20_000;
/** Long ago on purpose: event time is not wall time, and retention must not care. */
const DEFAULT_START = '2025-01-06';
const MODES: readonly TrafficMode[] = ['fraud', 'baseline'];

interface SampleOptions {
  events: number;
  seed: string;
  days: number;
  start: string;
  out?: string;
}

export function register(program: Command): void {
  const oracle = program
    .command('oracle')
    .description('Sealed worlds: sample, sync, pack, seal, check, view');

  sampleOptions(oracle.command('sample'))
    .description('Write a deterministic sample world into a folder, in the engine’s own layout')
    .action(async (options: SampleOptions) => {
      const { stateDir } = loadSettings();
      const request = sampleRequest(options);
      const folder = sampleFolder(stateDir, request, options.out);
      const world = await withProgress((progress) =>
        writeSampleWorld(request, folder, (stage, done, total) =>
          progress.update('sample', stage, done, total),
        ),
      );
      await rememberLastPack(stateDir, { folder });
      print({
        folder,
        created: world.created,
        run_id: world.runId,
        world_key: world.world,
        rows: world.rows,
      });
    });

  oracle
    .command('sync')
    .description('Copy an engine run’s folder into the oracle bucket, byte for byte; repeatable')
    .argument('[folder]', 'the engine run; default: the last sample')
    .action(async (argument: string | undefined) => {
      const settings = loadSettings();
      const last = await readLastPack(settings.stateDir);
      const folder = resolve(argument ?? known(last, 'folder', 'give a folder, or run `fp oracle sample`'));
      const synced = await withWriter(settings, (store) =>
        withProgress((progress) =>
          syncEngineRun(store, settings.oracleStore.bucket, folder, (done, total) =>
            progress.update('sync', 'bytes', done, total),
          ),
        ),
      );
      await rememberLastPack(settings.stateDir, { folder, engine_run_root: synced.engineRunRoot });
      print(synced);
    });

  oracle
    .command('pack')
    .description('Digest an engine run in the bucket and write its pack manifest, once')
    .option('--engine-run-root <uri>', 's3://bucket/engine/<run>/; default: the last one synced')
    .option('--scenario-id <id>', 'default: the run receipt’s')
    .option('--engine-release <name>', 'default: the run receipt’s')
    .option('--seal-status <status>', 'seal at once with SEALED_OK or SEALED_FAILED', sealStatus)
    .action(
      async (options: {
        engineRunRoot?: string;
        scenarioId?: string;
        engineRelease?: string;
        sealStatus?: 'SEALED_OK' | 'SEALED_FAILED';
      }) => {
        const settings = loadSettings();
        const last = await readLastPack(settings.stateDir);
        const engineRunRoot =
          options.engineRunRoot ??
          known(last, 'engine_run_root', 'give --engine-run-root, or run `fp oracle sync`');
        const result = await withWriter(settings, async (store) => {
          const packed = await withProgress((progress) =>
            packEngineRun(store, {
              engineRunRoot,
              ...(options.scenarioId !== undefined && { scenarioId: options.scenarioId }),
              ...(options.engineRelease !== undefined && { engineRelease: options.engineRelease }),
              onProgress: (done, total) => progress.update('pack', 'outputs', done, total),
            }),
          );
          if (options.sealStatus !== undefined) await sealPack(store, packed.packRoot, options.sealStatus);
          return packed;
        });
        await rememberLastPack(settings.stateDir, {
          ...last,
          engine_run_root: engineRunRoot,
          pack_root: result.packRoot,
        });
        print({
          oracle_pack_id: result.manifest.oracle_pack_id,
          pack_root: result.packRoot,
          created: result.created,
        });
      },
    );

  packOption(oracle.command('seal'))
    .description('Seal a pack: its last write, once')
    .option('--seal-status <status>', 'SEALED_OK or SEALED_FAILED', sealStatus, 'SEALED_OK')
    .action(async (options: { packRoot?: string; sealStatus: 'SEALED_OK' | 'SEALED_FAILED' }) => {
      const settings = loadSettings();
      const packRoot = await chosenPack(settings, options.packRoot);
      const { seal, created } = await withWriter(settings, (store) =>
        sealPack(store, packRoot, options.sealStatus),
      );
      print({ pack_root: packRoot, ...seal, created });
    });

  packOption(oracle.command('check'))
    .description('Check a world as a run would: receipt, gates, outputs, manifest, seal. Exits 1 on FAIL')
    .option('--engine-run-root <uri>', 'check an engine run without a pack')
    .option('--scenario-id <id>', 'default: the run receipt’s')
    .option('--output-ids <ids>', 'comma-separated; default: all that are streamed', commaSeparated)
    .option('--strict-seal', 'a missing seal is an error (default)')
    .addOption(new Option('--allow-unsealed', 'a missing seal is a warning').conflicts('strictSeal'))
    .option('--deep', 'read every byte of every packed part')
    .option('--json', 'print the report as JSON')
    .action(
      async (options: {
        packRoot?: string;
        engineRunRoot?: string;
        scenarioId?: string;
        outputIds?: string[];
        allowUnsealed?: boolean;
        deep?: boolean;
        json?: boolean;
      }) => {
        const settings = loadSettings();
        const packRoot =
          options.packRoot ??
          (options.engineRunRoot === undefined ? await chosenPack(settings, undefined) : undefined);
        const report = await withStore(settings, settings.oracleStore.reader, (store) =>
          checkWorld(store, {
            ...(packRoot !== undefined && { packRoot }),
            ...(options.engineRunRoot !== undefined && { engineRunRoot: options.engineRunRoot }),
            ...(options.scenarioId !== undefined && { scenarioId: options.scenarioId }),
            ...(options.outputIds !== undefined && { outputIds: options.outputIds }),
            strictSeal: options.allowUnsealed !== true,
            deep: options.deep === true,
          }),
        );
        if (options.json === true) print(report);
        else process.stdout.write(reportText(report));
        if (report.status === 'FAIL') process.exitCode = 1;
      },
    );

  packOption(oracle.command('view'))
    .description('Build stream views: outputs of a pack in replay order, as Arrow parts with a proof')
    .option(
      '--output-ids <ids>',
      'comma-separated; default: the outputs of both traffic modes',
      commaSeparated,
    )
    .option('--discard-unfinished', 'remove parts that an interrupted build left')
    .action(async (options: { packRoot?: string; outputIds?: string[]; discardUnfinished?: boolean }) => {
      const settings = loadSettings();
      const packRoot = await chosenPack(settings, options.packRoot);
      const views = await withWriter(settings, async (store) => {
        const pack = await readPack(store, packRoot);
        const outputIds = options.outputIds ?? outputsOfModes(MODES);
        if (outputIds.length === 0)
          throw new OracleError('OUTPUT_IDS_MISSING', '--output-ids names no output');
        return withProgress(async (progress) => {
          const built: object[] = [];
          for (const [i, output_id] of outputIds.entries()) {
            progress.update('view', output_id, i, outputIds.length);
            const { created, view } = await buildView(store, pack, output_id, {
              discardUnfinished: options.discardUnfinished === true,
            });
            const { stream_view_id, row_count, parts } = view.manifest;
            built.push({ output_id, created, stream_view_id, rows: row_count, parts: parts.length });
          }
          return built;
        });
      });
      print({ pack_root: packRoot, views });
    });

  packOption(oracle.command('tombstone'))
    .description('Withdraw a pack: every reader refuses it from now on')
    .requiredOption('--reason <text>', 'why')
    .option('--actor <name>', 'who; default: the user', `HUMAN::${userInfo().username}`)
    .action(async (options: { packRoot?: string; reason: string; actor: string }) => {
      const settings = loadSettings();
      const packRoot = await chosenPack(settings, options.packRoot);
      print(
        await withWriter(settings, (store) => tombstonePack(store, packRoot, options.actor, options.reason)),
      );
    });

  sampleOptions(oracle.command('prepare'))
    .description('Sample, sync, pack, seal, check and view in one go; finished steps are skipped')
    .option('--engine-run <folder>', 'an engine run’s folder instead of a sample')
    .addOption(
      new Option('--traffic-mode <mode>', 'build the views of this mode')
        .choices([...MODES, 'both'])
        .default('fraud'),
    )
    .action(async (options: SampleOptions & { engineRun?: string; trafficMode: TrafficMode | 'both' }) => {
      const settings = loadSettings();
      const sample = options.engineRun === undefined ? sampleRequest(options) : null;
      const folder =
        sample === null ? resolve(options.engineRun!) : sampleFolder(settings.stateDir, sample, options.out);
      const prepared = await withWriter(settings, (store) =>
        withProgress((progress) =>
          prepareWorld(store, {
            bucket: settings.oracleStore.bucket,
            sample,
            folder,
            modes: options.trafficMode === 'both' ? MODES : [options.trafficMode],
            onProgress: (stage, detail, done, total) => progress.update(stage, detail, done, total),
          }),
        ),
      );
      await rememberLastPack(settings.stateDir, {
        folder,
        engine_run_root: prepared.engine_run_root,
        pack_root: prepared.pack_root,
      });
      print(prepared);
    });
}

function sampleOptions(command: Command): Command {
  return command
    .option(
      '--events <n>',
      'rows over arrivals, entities, anchors and events, exactly',
      wholeNumber,
      DEFAULT_EVENTS,
    )
    .option('--seed <n>', 'uint64: the same seed gives the same bytes', '42')
    .option('--days <n>', 'days of arrivals', wholeNumber, 1)
    .option('--start <day>', 'the first day', DEFAULT_START)
    .option('--out <folder>', 'default: a folder of its own for each world, below the state directory');
}

function packOption(command: Command): Command {
  return command.option('--pack-root <uri>', 's3://bucket/packs/<id>/; default: the last one');
}

function sampleRequest({ events, seed, days, start }: SampleOptions): SampleRequest {
  return { events, seed, days, start };
}

function sampleFolder(stateDir: string, request: SampleRequest, out: string | undefined): string {
  return out === undefined ? join(stateDir, 'oracle', 'engine', sampleIdentity(request).runId) : resolve(out);
}

function known(last: LastPack, field: keyof LastPack, wayOut: string): string {
  const value = last[field];
  if (value === undefined)
    throw new OracleError('PACK_ROOT_NOT_FOUND', `nothing was made here before: ${wayOut}`);
  return value;
}

async function chosenPack(settings: Settings, given: string | undefined): Promise<string> {
  return (
    given ??
    known(await readLastPack(settings.stateDir), 'pack_root', 'give --pack-root, or run `fp oracle pack`')
  );
}

async function withWriter<T>(settings: Settings, run: (store: ObjectStore) => Promise<T>): Promise<T> {
  const { writer, bucket } = settings.oracleStore;
  if (bucket === settings.objectStore.bucket) {
    throw new OracleError(
      'ORACLE_ROOT_IN_PLATFORM_BUCKET',
      `${bucket} is the platform's own bucket; worlds live in one that services cannot write: set FP_ORACLE_BUCKET`,
    );
  }
  if (writer === undefined) {
    throw new OracleError(
      'ACCESS_DENIED',
      'writing worlds needs ORACLE_S3_ACCESS_KEY and ORACLE_S3_SECRET_KEY; the services’ own keys only read',
    );
  }
  return withStore(settings, writer, async (store) => {
    await store.ensureBucket(bucket);
    return run(store);
  });
}

async function withStore<T>(
  settings: Settings,
  keys: { readonly accessKey: string; readonly secretKey: string },
  run: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const store = ObjectStore.connect({ endpoint: settings.objectStore.endpoint, ...keys });
  try {
    return await run(store);
  } finally {
    store.close();
  }
}

async function withProgress<T>(run: (progress: ProgressLine) => Promise<T>): Promise<T> {
  const progress = new ProgressLine();
  try {
    return await run(progress);
  } finally {
    progress.end();
  }
}

function reportText(report: CheckReport): string {
  const lines = [`${report.status}  ${report.pack_root ?? report.engine_run_root}`];
  for (const { severity, code, message } of report.findings) lines.push(`  ${severity}  ${code}  ${message}`);
  const gates = Object.values(report.gates);
  lines.push(`  gates: ${gates.filter((status) => status === 'PASS').length} of ${gates.length} pass`);
  return lines.join('\n') + '\n';
}

function print(value: object): void {
  process.stdout.write(JSON.stringify(value, null, 2) + '\n');
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,12}$/.test(text)) throw new InvalidArgumentError(`${text} is not a whole number`);
  return Number(text);
}

function commaSeparated(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function sealStatus(text: string): 'SEALED_OK' | 'SEALED_FAILED' {
  if (text === 'SEALED_OK' || text === 'SEALED_FAILED') return text;
  throw new InvalidArgumentError(`${text} is neither SEALED_OK nor SEALED_FAILED`);
}
