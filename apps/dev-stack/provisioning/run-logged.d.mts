export function runLogged(
  command: string,
  args: readonly string[],
  options: {
    readonly log: string;
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly uid?: number;
    readonly gid?: number;
  },
): Promise<void>;
export function describeTail(path: string): string;
export function tail(path: string, lines?: number): string;
