/** The lines of an NDJSON body, without copying: blank lines are skipped, a carriage return before a line's end is not its. */
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export function ndjsonLines(body: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < body.length;) {
    const found = body.indexOf(NEWLINE, start);
    const next = found < 0 ? body.length : found;
    const end = next > start && body[next - 1] === CARRIAGE_RETURN ? next - 1 : next;
    if (!isBlank(body, start, end)) lines.push(body.subarray(start, end));
    start = next + 1;
  }
  return lines;
}

function isBlank(body: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i += 1) if (body[i] !== 0x20 && body[i] !== 0x09) return false;
  return true;
}
