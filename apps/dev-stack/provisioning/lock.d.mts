export function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options?: { readonly onWait?: (ownerPid: number) => void },
): Promise<T>;
