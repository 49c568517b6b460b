/** Reads the golden vectors, which are plain JSON for readers in any language. */
import { readFileSync } from 'node:fs';

export function readVectors(file: string): readonly unknown[] {
  const url = new URL(`../../vectors/${file}`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { readonly vectors: readonly unknown[] }).vectors;
}
