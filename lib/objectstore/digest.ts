/** Content digests: sha256 in lower-case hex, of bytes, files and streams as they pass. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Transform, type TransformCallback } from 'node:stream';

export function sha256Hex(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

export interface FileDigest {
  readonly sha256: string;
  readonly bytes: number;
}

/** Reads the file once, in constant memory. */
export async function sha256OfFile(path: string): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const part = chunk as Buffer;
    bytes += part.length;
    hash.update(part);
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** Lets bytes through and digests them; `sha256` is defined once the stream has ended. */
export class DigestingStream extends Transform {
  bytes = 0;
  sha256: string | undefined;
  readonly #hash: Hash = createHash('sha256');

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.sha256 = this.#hash.digest('hex');
    done();
  }
}
