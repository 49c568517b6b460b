/** The platform run id: one operator session, and the scope of artifacts, receipts and dedupe. */
import { isPlatformRunId } from './scalars.ts';

/** A new id from the wall clock, in whole seconds of UTC: `platform_20260101T000000Z`. */
export function newPlatformRunId(now: Date = new Date()): string {
  return 'platform_' + now.toISOString().slice(0, 19).replaceAll('-', '').replaceAll(':', '') + 'Z';
}

/** The instant a platform run id names. Throws a RangeError that says what is wrong with the text. */
export function parsePlatformRunId(text: string): Date {
  if (!isPlatformRunId(text)) {
    throw new RangeError(
      `${JSON.stringify(text)} is not a platform run id; expected platform_YYYYMMDDTHHMMSSZ`,
    );
  }
  const d = text.slice('platform_'.length);
  const iso = `${d.slice(0, 4)}-${d.slice(4, 6)}-${d.slice(6, 8)}T${d.slice(9, 11)}:${d.slice(11, 13)}:${d.slice(13, 15)}Z`;
  const instant = new Date(iso);
  if (Number.isNaN(instant.getTime()) || newPlatformRunId(instant) !== text) {
    throw new RangeError(`${text} names no existing instant; expected platform_YYYYMMDDTHHMMSSZ`);
  }
  return instant;
}
