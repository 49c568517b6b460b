/**
 * SHA-256, the only hash of the platform, in its only place. Digests are lower-case hex; strings are hashed as
 * UTF-8.
 */
import * as crypto from 'node:crypto';

// `crypto.hash` (Node 20.12) does in one call what a Hash object does in three; it is the hot path's largest cost.
const oneShot = (crypto as Partial<typeof crypto>).hash;

/** 64 lower-case hex digits. */
export const sha256Hex: (data: string | Uint8Array) => string =
  oneShot === undefined
    ? (data) => crypto.createHash('sha256').update(data).digest('hex')
    : (data) => oneShot('sha256', data, 'hex');

/** The first 32 hex digits: the platform's short identifiers. */
export function sha256Hex32(text: string): string {
  return sha256Hex(text).slice(0, 32);
}

/** A digest over bytes that arrive in pieces; `digest()` may be called once. */
export interface StreamingDigest {
  update(bytes: Uint8Array): void;
  digest(): string;
}

/** SHA-256 of a stream of bytes, for files too large to hold. */
export function streamingSha256(): StreamingDigest {
  const hash = crypto.createHash('sha256');
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest('hex'),
  };
}
