/**
 * A view's part, proven once and then read piece by piece: a part is never in memory as a whole, and no byte of it is
 * used that the manifest's digest does not stand for.
 *
 * The proof reads the part to its end and keeps a digest of each chunk; whatever is read later is read by chunk and
 * held against its digest. A chunk is short enough to be hashed between two due events.
 */
import { createHash, hash } from 'node:crypto';

import { isObjectStoreError, type Bucket, type ObjectStore, type PartBytes } from '../../lib/index.ts';
import type { StreamView } from '../oracle-store/index.ts';
import { StreamError, type TerminalCode } from './stream-error.ts';

const CHUNK_BYTES = 2 << 20;
/** Chunks kept of a part that is being read: a record batch may lie across two. */
const KEPT_CHUNKS = 2;

/** Proves a part of a view. Throws StreamError: STREAM_VIEW_DIGEST_MISMATCH, or that the store does not answer. */
export async function verifyPart(store: ObjectStore, view: StreamView, index: number): Promise<VerifiedPart> {
  const bucket = store.bucket(view.bucket);
  const key = view.partKeys[index]!;
  const { bytes: size, sha256 } = view.manifest.parts[index]!;
  const digests: string[] = [];
  const whole = createHash('sha256');
  for (let start = 0; start < size; start += CHUNK_BYTES) {
    const chunk = await readChunk(bucket, key, start, Math.min(CHUNK_BYTES, size - start));
    whole.update(chunk);
    digests.push(hash('sha256', chunk, 'hex'));
  }
  const actual = whole.digest('hex');
  if (actual !== sha256)
    throw mismatch(`${bucket.uri(key)}: sha256 is ${actual}, its manifest says ${sha256}`);
  return new VerifiedPart(bucket, key, size, digests);
}

export class VerifiedPart implements PartBytes {
  readonly size: number;
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #digests: readonly string[];
  /** Chunks by index, the one used last at the end. */
  readonly #chunks = new Map<number, Buffer>();

  constructor(bucket: Bucket, key: string, size: number, digests: readonly string[]) {
    this.size = size;
    this.#bucket = bucket;
    this.#key = key;
    this.#digests = digests;
  }

  /** Throws StreamError when the bytes are others than those proven, or do not come. */
  async read(target: Uint8Array, position: number): Promise<void> {
    let copied = 0;
    while (copied < target.length) {
      const at = position + copied;
      const index = Math.floor(at / CHUNK_BYTES);
      const chunk = await this.#chunk(index);
      const from = at - index * CHUNK_BYTES;
      const piece = chunk.subarray(from, from + target.length - copied);
      target.set(piece, copied);
      copied += piece.length;
    }
  }

  /** Lets the chunks go: the part has been read to its end, or will not be. */
  release(): void {
    this.#chunks.clear();
  }

  async #chunk(index: number): Promise<Buffer> {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      const start = index * CHUNK_BYTES;
      chunk = await readChunk(this.#bucket, this.#key, start, Math.min(CHUNK_BYTES, this.size - start));
      if (hash('sha256', chunk, 'hex') !== this.#digests[index]) {
        throw mismatch(
          `${this.#bucket.uri(this.#key)} has changed since it was verified, at byte ${start} or behind`,
        );
      }
      if (this.#chunks.size === KEPT_CHUNKS) this.#chunks.delete([...this.#chunks.keys()][0]!);
    } else {
      this.#chunks.delete(index);
    }
    this.#chunks.set(index, chunk);
    return chunk;
  }
}

async function readChunk(bucket: Bucket, key: string, start: number, length: number): Promise<Buffer> {
  try {
    return await bucket.range(key, start, length);
  } catch (error) {
    if (isObjectStoreError(error, 'RANGE_INVALID')) {
      throw mismatch(`${bucket.uri(key)} is shorter than its manifest says`, error);
    }
    throw storeFailure('STREAM_VIEW_UNREADABLE', error);
  }
}

function mismatch(message: string, cause?: unknown): StreamError {
  return new StreamError('STREAM_VIEW_DIGEST_MISMATCH', message, { cause });
}

/** A store that was away may answer later; anything else is the artifact's fault. */
export function storeFailure(otherwise: TerminalCode, error: unknown): StreamError {
  if (error instanceof StreamError) return error;
  const code = isObjectStoreError(error) && error.retriable ? 'OBJECT_STORE_UNAVAILABLE' : otherwise;
  return new StreamError(code, (error as Error).message, { cause: error });
}
