/** Where an object is: `s3://bucket/key`, and keys joined without doubled or missing slashes. */

export interface ObjectLocator {
  readonly bucket: string;
  /** Without a leading slash; may be empty or end in a slash when a prefix is meant. */
  readonly key: string;
}

/** Throws a RangeError on anything that is not `s3://<bucket>[/<key>]`. */
export function parseLocator(uri: string): ObjectLocator {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(uri);
  if (match === null) throw new RangeError(`'${uri}' is not an object locator: expected s3://bucket/key`);
  return { bucket: match[1]!, key: match[2] ?? '' };
}

export function formatLocator(locator: ObjectLocator): string {
  return `s3://${locator.bucket}/${locator.key}`;
}

/** Joins key segments with single slashes, dropping empty ones. A trailing slash of the last segment stays. */
export function joinKey(...segments: readonly string[]): string {
  const last = segments.at(-1) ?? '';
  const joined = segments
    .map((segment) => segment.replace(/^\/+|\/+$/g, ''))
    .filter((segment) => segment !== '')
    .join('/');
  return last.endsWith('/') && joined !== '' ? `${joined}/` : joined;
}
