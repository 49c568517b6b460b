/**
 * Where a replay stands: per source, the position of the next row. Exclusive, like every Kafka position, so a
 * cursor written in the transaction of the rows before it neither loses nor repeats one.
 */
import { ReplayError } from './replay-error.ts';

/** Part index and row within the part, both from 0. One past the last part with row 0 is the end. */
export interface SourcePosition {
  readonly part: number;
  readonly row: number;
}

/** Positions by source name. */
export type ReplayCursor = ReadonlyMap<string, SourcePosition>;

/** One line of text, `name=part:row` joined by `,`, in name order. Names hold neither `=` nor `,`. */
export function encodeCursor(cursor: ReplayCursor): string {
  return [...cursor]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, position]) => {
      if (/[=,]/.test(name) || name === '') {
        throw new ReplayError('CURSOR_INVALID', `"${name}" cannot be a source's name in a cursor`);
      }
      return `${name}=${position.part}:${position.row}`;
    })
    .join(',');
}

/** Throws ReplayError (CURSOR_INVALID) on text that `encodeCursor` did not write. */
export function decodeCursor(text: string): Map<string, SourcePosition> {
  const cursor = new Map<string, SourcePosition>();
  if (text === '') return cursor;
  for (const entry of text.split(',')) {
    const match = /^([^=,]+)=(\d{1,15}):(\d{1,15})$/.exec(entry);
    if (match === null || cursor.has(match[1]!))
      throw new ReplayError('CURSOR_INVALID', `"${entry}" in "${text}"`);
    cursor.set(match[1]!, { part: Number(match[2]), row: Number(match[3]) });
  }
  return cursor;
}
