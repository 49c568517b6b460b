/** The streamer in operation, on real servers: commands, refusals, a lost cursor, several instances, `fp wsp once`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { pino } from 'pino';

import {
  payloadHash,
  type CanonicalValue,
  type Envelope,
  type StreamCommand,
} from '../../apps/rails/index.ts';
import { commandEvent } from '../../apps/world-streamer-producer/operator-command.ts';
import type { RunCursor } from '../../apps/world-streamer-producer/run-cursor.ts';
import type { StreamerContext } from '../../apps/world-streamer-producer/streamer-context.ts';
import { WorldStreamer } from '../../apps/world-streamer-producer/world-streamer.ts';
import { SchemaRegistryError, type SchemaSource } from '../../lib/index.ts';
import { PARTITIONS, WorldStreamerFixture, type SentEvent } from './world-streamer-fixture.ts';

const FLOWS = 1500;
const EVENTS = FLOWS * 5;
const DEADLINE_MS = 60_000;
const logger = pino({ level: process.env['LOG_LEVEL'] ?? 'silent' });

/** Slow enough that a command or a second instance meets a run on its way. */
const SLOW = { pacing: { ratePlan: [{ start_offset_seconds: 0, target_eps: 1500, burst_seconds: 0.01 }] } };

async function withFixture(body: (fixture: WorldStreamerFixture) => Promise<void>): Promise<void> {
  const fixture = new WorldStreamerFixture();
  try {
    await fixture.open(FLOWS);
    await body(fixture);
  } finally {
    // After a failure, too: what still runs would hold the process.
    for (const each of Running.all.splice(0)) await each.stop();
    await fixture.close();
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A streamer that runs beside the test. */
class Running {
  static readonly all: Running[] = [];
  readonly ended: RunCursor[] = [];
  /** The last cursor handed over, by scenario run and lane. */
  readonly cursors = new Map<string, RunCursor>();
  readonly #streamer: WorldStreamer;
  readonly #done: Promise<void>;

  constructor(fixture: WorldStreamerFixture, changes: Partial<StreamerContext> = {}) {
    const onCursor = (cursor: RunCursor): void => {
      this.cursors.set(`${cursor.ready.scenario_run_id}/${cursor.lane}`, cursor);
    };
    this.#streamer = new WorldStreamer(fixture.context({ onCursor, ...changes }), logger, (cursor) => {
      this.ended.push(cursor);
    });
    this.#done = this.#streamer.run();
    Running.all.push(this);
  }
  get paused(): boolean {
    return this.#streamer.runners.some((runner) => runner.paused);
  }
  get running(): number {
    return this.#streamer.runners.length;
  }
  sent(run: Envelope, lane = 0): number {
    const cursor = this.cursors.get(`${String(run.scenario_run_id)}/${lane}`);
    return cursor?.outputs.reduce((sum, output) => sum + output.sent, 0) ?? 0;
  }
  stop(): Promise<void> {
    this.#streamer.stop();
    return this.#done;
  }
}

function command(
  ready: Envelope,
  name: StreamCommand,
  changes: { speedup?: number; target_eps?: number } = {},
): Envelope {
  return commandEvent(ready, {
    command: name,
    attempt: null,
    speedup: null,
    target_eps: null,
    actor: 'HUMAN::tester',
    reason: null,
    ...changes,
  });
}

function ofRun(events: readonly SentEvent[], ready: Envelope): Envelope[] {
  return events
    .map(({ envelope }) => envelope)
    .filter(({ scenario_run_id: run }) => run === ready.scenario_run_id);
}
function rows(envelopes: readonly Envelope[]): Envelope[] {
  return envelopes.filter(({ event_type: type }) => !type.startsWith('stream.'));
}
function facts(envelopes: readonly Envelope[], type: string): Envelope[] {
  return envelopes.filter(({ event_type: each }) => each === type);
}
function ids(envelopes: readonly Envelope[]): Set<string> {
  return new Set(envelopes.map(({ event_id: id }) => id));
}

test.serial(
  'CI-55 pause holds a run over a restart while another one goes on; resume and throttle finish it',
  (t) =>
    withFixture(async (fixture) => {
      const held = await fixture.ready(fixture.nameOn(0, 'held'));
      const first = new Running(fixture, SLOW);
      await until('the run is on its way', () => first.sent(held) > 0);
      await fixture.control(command(held, 'pause'));
      await until('the run is paused', () => first.paused);
      await first.stop();
      const standing = rows(ofRun(await fixture.ingress(), held)).length;
      t.true(standing > 0 && standing < EVENTS);

      const second = new Running(fixture);
      const other = await fixture.ready(fixture.nameOn(1, 'other'));
      await until('another run ends', () => second.ended.length === 1);
      t.is(second.ended[0]!.ready.scenario_run_id, other.scenario_run_id!);
      t.true(second.paused);
      t.is(
        rows(ofRun(await fixture.ingress(), held)).length,
        standing,
        'paused, and paused after the restart',
      );

      await fixture.control(command(held, 'throttle', { target_eps: 1_000_000 }));
      await fixture.control(command(held, 'resume'));
      await until('the held run ends', () => second.ended.length === 2);
      await second.stop();
      const sent = rows(ofRun(await fixture.ingress(), held));
      t.is(sent.length, EVENTS);
      t.is(ids(sent).size, EVENTS);
    }),
);

test.serial(
  'CI-55 CI-56 drain ends a run at a whole moment, cancel at once, and stream.completed says which',
  (t) =>
    withFixture(async (fixture) => {
      const streamer = new Running(fixture, SLOW);
      for (const [partition, name, reason, state] of [
        [0, 'drain', 'drained', 'COMPLETED'],
        [1, 'cancel', 'cancelled', 'CANCELLED'],
      ] as const) {
        const ready = await fixture.ready(fixture.nameOn(partition, name));
        await until('the run is on its way', () => streamer.sent(ready) > 0);
        await fixture.control(command(ready, name));
        await until('the run has ended', () => streamer.ended.length === partition + 1);
        t.is(streamer.ended[partition]!.state, state);
        const told = ofRun(await fixture.ingress(), ready);
        const sent = rows(told);
        t.true(sent.length < EVENTS);
        const [completed] = facts(told, 'stream.completed');
        const payload = completed!.payload as unknown as { stop_reason: string; outputs: { sent: number }[] };
        t.is(payload.stop_reason, reason);
        t.is(
          payload.outputs.reduce((sum, output) => sum + output.sent, 0),
          sent.length,
        );
        if (name !== 'drain') continue;
        const last = sent.reduce((latest, { ts_utc: ts }) => (ts > latest ? ts : latest), '');
        // A moment of the world holds an arrival, its entities, an anchor and the flow's first event; or the second event.
        const whole = sent.filter(({ ts_utc: ts }) => ts === last).length;
        t.is(whole, last.endsWith('500Z') ? 1 : 4);
      }
      await streamer.stop();
    }),
);

test.serial('CI-56 a run cancelled while its world cannot be verified ends without one event', (t) =>
  withFixture(async (fixture) => {
    const absent: SchemaSource = {
      typeById: (id) => fixture.schemas.typeById(id),
      fetch: (id) => fixture.schemas.fetch(id),
      schemaFor: (subject, schema) =>
        subject.endsWith('_5B')
          ? Promise.reject(new SchemaRegistryError('the registry is away', 'UNAVAILABLE'))
          : fixture.schemas.schemaFor(subject, schema),
    };
    const ready = await fixture.ready('cancelled early');
    const streamer = new Running(fixture, { schemas: absent });
    await until('the run is accepted', () => streamer.running === 1);
    await fixture.control(command(ready, 'cancel'));
    await until('the run has ended', () => streamer.ended.length === 1);
    await streamer.stop();
    t.is(streamer.ended[0]!.state, 'CANCELLED');
    const told = ofRun(await fixture.ingress(), ready);
    t.deepEqual(
      told.map(({ event_type: type }) => type),
      ['stream.completed'],
    );
  }),
);

test.serial(
  'CI-40 CI-53 a READY whose servers are away is tried again without a restart, and streamed once',
  (t) =>
    withFixture(async (fixture) => {
      let refusals = 2;
      const flaky: SchemaSource = {
        typeById: (id) => fixture.schemas.typeById(id),
        fetch: (id) => fixture.schemas.fetch(id),
        schemaFor: (subject, schema) => {
          if (subject.endsWith('_5B') && refusals > 0) {
            refusals -= 1;
            return Promise.reject(new SchemaRegistryError('the registry is away', 'UNAVAILABLE'));
          }
          return fixture.schemas.schemaFor(subject, schema);
        },
      };
      const ready = await fixture.ready('deferred');
      const streamer = new Running(fixture, { schemas: flaky });
      await until('the run has ended', () => streamer.ended.length === 1);
      await streamer.stop();
      t.is(refusals, 0);
      t.is(streamer.ended[0]!.state, 'COMPLETED');
      const sent = rows(ofRun(await fixture.ingress(), ready));
      t.is(sent.length, EVENTS);
      t.is(ids(sent).size, EVENTS);
    }),
);

test.serial(
  'CI-41 CI-42 CI-56 a refused run says why on the bus: stream.failed with its code, and no event',
  (t) =>
    withFixture(async (fixture) => {
      const streamer = new Running(fixture, { producerAllowlist: ['svc:someone_else'] });
      const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
        ['producer', {}, 'PRODUCER_NOT_ALLOWED'],
        ['gate', { gates: [] }, 'GATE_PASS_MISSING'],
        ['mode', { traffic_mode: 'both' }, 'READY_INVALID'],
        ['platform run', { platform_run_id: 'platform_20260202T000000Z' }, 'PLATFORM_RUN_ID_MISMATCH'],
        ['scenario run', { scenario_run_id: 'f'.repeat(32) }, 'SCENARIO_RUN_ID_MISMATCH'],
      ];
      const refused: Envelope[] = [];
      for (const [name, changes] of cases) refused.push(await fixture.ready(name, 1, changes));
      let told: Envelope[] = [];
      const deadline = Date.now() + DEADLINE_MS;
      while (facts(told, 'stream.failed').length < cases.length && Date.now() < deadline) {
        told = (await fixture.ingress()).map(({ envelope }) => envelope);
      }
      await streamer.stop();
      for (const [i, [name, , code]] of cases.entries()) {
        const { scenario_run_id: run } = refused[i]!;
        const ofThis = told.filter(({ scenario_run_id: each }) => each === run);
        t.deepEqual(
          ofThis.map(({ event_type: type }) => type),
          ['stream.failed'],
          name,
        );
        const payload = ofThis[0]!.payload as unknown as {
          code: string;
          message: string;
          message_id: string;
        };
        t.is(payload.code, code, name);
        t.true(payload.message.includes(code), name);
        t.is(payload.message_id, (refused[i]!.payload as unknown as { message_id: string }).message_id, name);
      }
    }),
);

test.serial(
  'CI-52 a run that loses its cursor is streamed again from its READY, and everything told twice says the same',
  (t) =>
    withFixture(async (fixture) => {
      const ready = await fixture.ready('lost');
      const progress = { progressEvery: 1000 };
      const first = new Running(fixture, { ...SLOW, ...progress });
      await until('the run is on its way', () => first.sent(ready) > 1500);
      await first.stop();
      const before = ofRun(await fixture.ingress(), ready);
      t.true(facts(before, 'stream.progress').length > 0);
      await fixture.loseCursors();

      const second = new Running(fixture, progress);
      await until('the run has ended', () => second.ended.length === 1);
      await second.stop();
      t.is(second.ended[0]!.state, 'COMPLETED');
      const told = ofRun(await fixture.ingress(), ready);
      t.is(rows(told).length, EVENTS + rows(before).length, 'all of it again');
      t.is(ids(rows(told)).size, EVENTS);
      // What the gate decides by: an id twice with one payload hash is a DUPLICATE, with two it is a contradiction.
      const hashes = new Map<string, string>();
      for (const { event_id: id, event_type: type, schema_version: version, payload } of told) {
        const hash = payloadHash(type, version, payload as CanonicalValue);
        t.is(hashes.get(id) ?? hash, hash, `${type} ${id} contradicts itself`);
        hashes.set(id, hash);
      }
      t.is(facts(told, 'stream.started').length, 2);
      t.is(ids(facts(told, 'stream.started')).size, 1);
      t.is(ids(facts(told, 'stream.progress')).size, Math.floor(EVENTS / 1000));
    }),
);

test.serial('CI-39 runs move with their partitions to a new instance and back, each event once', (t) =>
  withFixture(async (fixture) => {
    const runs: Envelope[] = [];
    for (let partition = 0; partition < PARTITIONS; partition += 1)
      runs.push(await fixture.ready(fixture.nameOn(partition, 'moving')));
    // Slower than a second instance needs to join.
    const slowest = { ratePlan: [{ start_offset_seconds: 0, target_eps: 200, burst_seconds: 0.05 }] };
    const first = new Running(fixture, { pacing: slowest });
    await until('all runs are on their way', () => runs.every((run) => first.sent(run) > 0));
    const second = new Running(fixture);
    await until('runs go on at the second instance', () => runs.some((run) => second.sent(run) > 0));
    t.true(first.running < PARTITIONS);
    await first.stop();
    await until('all runs have ended', () => first.ended.length + second.ended.length === PARTITIONS);
    await second.stop();
    t.true(second.ended.length > 0);
    const events = await fixture.ingress();
    for (const run of runs) {
      const told = ofRun(events, run);
      t.is(rows(told).length, EVENTS);
      t.is(ids(told).size, EVENTS + 2, 'the events, stream.started and stream.completed, each once');
    }
  }),
);

test.serial(
  'CI-49 the lanes of one run are spread over the instances, each event once and in order per key',
  (t) =>
    withFixture(async (fixture) => {
      const lanes = { laneCount: PARTITIONS, ...SLOW };
      const both = [new Running(fixture, lanes), new Running(fixture, lanes)];
      const warm = await fixture.ready('warm', 1, { max_events: 1 });
      await until(
        'both are in the group',
        () => both.reduce((sum, { ended }) => sum + ended.length, 0) === PARTITIONS,
      );
      t.is(warm.event_type, 'run.ready');
      const ready = await fixture.ready('spread');
      const endedOf = (each: Running): RunCursor[] =>
        each.ended.filter((cursor) => cursor.ready.scenario_run_id === ready.scenario_run_id);
      await until(
        'all lanes have ended',
        () => both.reduce((sum, each) => sum + endedOf(each).length, 0) === PARTITIONS,
      );
      for (const each of both) await each.stop();
      t.true(
        both.every((each) => endedOf(each).length > 0),
        'one instance ran every lane',
      );
      const events = await fixture.ingress();
      const sent = rows(ofRun(events, ready));
      t.is(sent.length, EVENTS);
      t.is(ids(sent).size, EVENTS);
      const latest = new Map<string, string>();
      for (const { key, envelope } of events) {
        if (envelope.scenario_run_id !== ready.scenario_run_id || envelope.event_type.startsWith('stream.'))
          continue;
        t.true((latest.get(key) ?? '') <= envelope.ts_utc);
        latest.set(key, envelope.ts_utc);
      }
    }),
);

test.serial(
  'CI-50 `fp wsp once` streams the next READY up to its cap, prints the outcome and ends with 0; 1 when refused',
  (t) =>
    withFixture(async (fixture) => {
      const run = async (
        ...flags: string[]
      ): Promise<{ code: number | null; outcome: Record<string, unknown> }> => {
        const child = spawn(process.execPath, ['apps/cli/fp.mjs', 'wsp', 'once', ...flags], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...process.env, FP_TOPIC_PREFIX: fixture.prefix },
        });
        let output = '';
        child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
        const [code] = (await once(child, 'close')) as [number | null];
        const lines = output.split('\n').filter((line) => line.includes('"stop_reason"'));
        return { code, outcome: JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
      };
      const ready = await fixture.ready('once');
      const streamed = await run('--speedup', '0', '--max-events-per-output', '100');
      t.is(streamed.code, 0);
      t.is(streamed.outcome['state'], 'COMPLETED');
      t.is(streamed.outcome['scenario_run_id'], ready.scenario_run_id);
      t.is(streamed.outcome['stop_reason'], 'max_events_per_output');
      t.is(rows(ofRun(await fixture.ingress(), ready)).length, 400);
      await fixture.ready('refused', 1, { gates: [] });
      const refused = await run();
      t.is(refused.code, 1);
      t.is(refused.outcome['code'], 'GATE_PASS_MISSING');
    }),
);
