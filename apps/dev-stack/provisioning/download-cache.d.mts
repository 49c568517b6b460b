export function cacheRoot(env?: NodeJS.ProcessEnv): string;
export function cachedFolder(key: string, root?: string): string;
export function provideCached(
  key: string,
  build: (draft: string, log: string) => Promise<void>,
  options?: { readonly root?: string; readonly onWait?: (pid: number) => void },
): Promise<string>;
