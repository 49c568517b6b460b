/**
 * `fp topology plan|apply`: the difference between the platform's topics and subjects and what the cluster and the
 * registry hold, and making it so. Exit codes: 0 nothing to do or applied, 3 the plan has changes, 1 refused or failed.
 */
import type { Command } from 'commander';
import {
  applyResources,
  changeText,
  createAdmin,
  planExitCode,
  planJson,
  planResources,
  planText,
  ResourcesRefused,
  SchemaRegistry,
  type DesiredResources,
  type SubjectRegistry,
  type TopicAdmin,
} from '../../lib/index.ts';
import { loadSettings, platformResources } from '../rails/index.ts';

interface TopologyOptions {
  readonly json?: boolean;
  readonly allowDelete: readonly string[];
  readonly clusterId?: string;
}

interface Connections {
  readonly desired: DesiredResources;
  readonly admin: TopicAdmin;
  readonly registry: SubjectRegistry;
}

export function register(program: Command): void {
  const topology = program.command('topology').description('topics and schema subjects: plan and apply');
  const described = (name: string, description: string): Command =>
    topology
      .command(name)
      .description(description)
      .option('--json', 'print JSON instead of text')
      .option(
        '--allow-delete <name>',
        'delete this topic or subject, which is not desired (repeatable)',
        collect,
        [],
      )
      .option('--cluster-id <id>', 'refuse every cluster but this one');

  described(
    'plan',
    'print what apply would change (exit code 3 when there are changes, 1 when refused)',
  ).action((options: TopologyOptions) =>
    connected(options, async ({ desired, admin, registry }) => {
      const plan = await planResources(desired, admin, registry, options);
      process.stdout.write(options.json === true ? planJson(plan) : planText(plan));
      process.exitCode = planExitCode(plan);
    }),
  );
  described('apply', 'make the cluster and the registry hold what is desired').action(
    (options: TopologyOptions) => connected(options, (connections) => apply(connections, options)),
  );
}

async function apply({ desired, admin, registry }: Connections, options: TopologyOptions): Promise<void> {
  const json = options.json === true;
  try {
    const { plan } = await applyResources(desired, admin, registry, {
      ...options,
      onChange: (change) => {
        if (!json) process.stdout.write(`${changeText(change)}\n`);
      },
    });
    const done = plan.changes.length === 0 ? 'up to date' : `applied ${plan.changes.length} changes`;
    process.stdout.write(json ? planJson(plan) : `${done}, cluster ${plan.clusterId}\n`);
  } catch (error) {
    if (!(error instanceof ResourcesRefused)) throw error;
    process.stdout.write(
      json ? `${JSON.stringify({ refusals: error.refusals }, null, 2)}\n` : `${error.message}\n`,
    );
    process.exitCode = 1;
  }
}

async function connected(
  { clusterId }: TopologyOptions,
  work: (connections: Connections) => Promise<void>,
): Promise<void> {
  const settings = loadSettings();
  const desired = { ...platformResources(settings), ...(clusterId === undefined ? {} : { clusterId }) };
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const admin = createAdmin({ bootstrapServers: settings.kafka.bootstrapServers });
  try {
    await work({ desired, admin, registry });
  } finally {
    await admin.close();
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
