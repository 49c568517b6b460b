/** The commands of `fp` and the modules that offer them; a module is loaded only when one of its commands is asked for. */
import type { Command } from 'commander';

export interface CommandModule {
  register(program: Command): void;
}

export interface CommandSource {
  /** The top-level commands it registers. */
  readonly commands: readonly string[];
  load(): Promise<CommandModule>;
}

export const COMMAND_SOURCES: readonly CommandSource[] = [
  { commands: ['stack'], load: () => import('../dev-stack/commands.ts') },
  { commands: ['topology'], load: () => import('./topology-commands.ts') },
  { commands: ['oracle'], load: () => import('../oracle-store/commands.ts') },
  { commands: ['sr', 'run'], load: () => import('../scenario-runner/commands.ts') },
  { commands: ['wsp'], load: () => import('../world-streamer-producer/commands.ts') },
  { commands: ['gate', 'ledger', 'bus'], load: () => import('../ingestion-gate/commands.ts') },
  { commands: ['lag-console'], load: () => import('../lag-console/commands.ts') },
  { commands: ['demo', 'live', 'smoke'], load: () => import('./demo/commands.ts') },
];

/**
 * Registers what the command line needs: the one module that offers its command, or all of them for help and for a
 * command that no list names. One module that does not load must not take the others with it, so with several the
 * failures are returned instead.
 *
 * @param wanted the first argument that is not an option
 * @returns what could not be loaded
 */
export async function registerCommands(
  program: Command,
  wanted: string | undefined,
  sources: readonly CommandSource[] = COMMAND_SOURCES,
): Promise<readonly { readonly commands: readonly string[]; readonly cause: unknown }[]> {
  const source = sources.find(({ commands }) => wanted !== undefined && commands.includes(wanted));
  if (source !== undefined) {
    (await source.load()).register(program);
    return [];
  }
  const loaded = await Promise.allSettled(sources.map((each) => each.load()));
  const failures: { commands: readonly string[]; cause: unknown }[] = [];
  loaded.forEach((outcome, index) => {
    if (outcome.status === 'fulfilled') outcome.value.register(program);
    else failures.push({ commands: sources[index]!.commands, cause: outcome.reason });
  });
  return failures;
}
