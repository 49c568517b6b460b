export function processStart(pid: number): string | undefined;
export function startFromStat(stat: string, boot: string): string | undefined;
export function isSameProcess(pid: number, start: string): boolean;
export const RECORD_AND_EXEC: string;
export function parseProcessRecord(
  text: string,
): { readonly pid: number; readonly start: string } | undefined;
