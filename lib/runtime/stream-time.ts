/** Stream time as it travels in a committed offset's metadata, so that it survives a restart and a rebalance. */

const PREFIX = 'st1:';

/** -1 (no record seen) is kept too, so that the metadata always says which format it has. */
export function encodeStreamTime(streamTime: number): string {
  return `${PREFIX}${streamTime}`;
}

/** -1 for metadata of another origin. */
export function decodeStreamTime(metadata: string | undefined): number {
  if (metadata?.startsWith(PREFIX) !== true) return -1;
  const streamTime = Number(metadata.slice(PREFIX.length));
  return Number.isFinite(streamTime) ? streamTime : -1;
}
