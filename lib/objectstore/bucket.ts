/** Operations on one bucket: put, write-once put, get, ranges, listing, multipart upload of streams and files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Client } from 'minio';
import { sha256Hex, sha256OfFile } from './digest.ts';
import { isObjectStoreError, ObjectStoreError, toObjectStoreError } from './object-store-error.ts';
import { withRetry, type RetryPolicy } from './retry.ts';

/** Parts of multipart uploads; smaller objects go up in one request. */
export const PART_BYTES = 16 * 1024 * 1024;

/** User metadata that carries the sha256 of the object's bytes. */
const SHA256_METADATA = 'sha256';

export interface PutOptions {
  readonly contentType?: string;
  /** User metadata: lower-case names, ASCII values. `sha256` is set by the store itself. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface PutResult {
  readonly bytes: number;
  /** Lower-case hex, of the bytes sent. */
  readonly sha256: string;
  readonly etag: string;
}

export interface ObjectStat {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
  readonly lastModified: Date;
  /** Present when the writer was this library (objects sent as a stream in several parts have none). */
  readonly sha256: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  readonly etag: string;
}

export interface GetOptions {
  /** Throws DIGEST_MISMATCH unless the bytes have this sha256. */
  readonly expectSha256?: string;
}

export class Bucket {
  readonly name: string;
  readonly #client: Client;
  readonly #retry: RetryPolicy;

  /** Use `ObjectStore.bucket(name)`. */
  constructor(name: string, client: Client, retry: RetryPolicy) {
    this.name = name;
    this.#client = client;
    this.#retry = retry;
  }

  /** `s3://bucket/key`. */
  uri(key: string): string {
    return `s3://${this.name}/${key}`;
  }

  /** Writes the object, replacing an earlier one. */
  async put(key: string, content: Buffer, options: PutOptions = {}): Promise<PutResult> {
    const sha256 = sha256Hex(content);
    return this.#attempt('put', key, () => this.#put(key, content, sha256, options, {}));
  }

  /**
   * Writes the object if there is none under the key, else throws ALREADY_EXISTS and leaves it alone. When an answer
   * was lost and the repeated attempt finds the object, its bytes decide whether the first attempt had succeeded.
   */
  async putOnce(key: string, content: Buffer, options: PutOptions = {}): Promise<PutResult> {
    const sha256 = sha256Hex(content);
    return this.#attempt('put once', key, async (attempt) => {
      try {
        return await this.#put(key, content, sha256, options, { 'If-None-Match': '*' });
      } catch (error) {
        const failure = toObjectStoreError(`put once ${this.uri(key)}`, error);
        if (failure.code !== 'ALREADY_EXISTS' || attempt === 1) throw failure;
        const stored = await this.stat(key);
        if (stored.bytes !== content.length || sha256Hex(await this.get(key)) !== sha256) throw failure;
        return { bytes: content.length, sha256, etag: stored.etag };
      }
    });
  }

  /** The whole object. */
  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    const content = await this.#attempt('get', key, async () =>
      collect(await this.#client.getObject(this.name, key)),
    );
    if (options.expectSha256 !== undefined) {
      const actual = sha256Hex(content);
      if (actual !== options.expectSha256) {
        throw new ObjectStoreError(
          'DIGEST_MISMATCH',
          `get ${this.uri(key)}: sha256 is ${actual}, expected ${options.expectSha256}`,
        );
      }
    }
    return content;
  }

  /** The object as it arrives. Opening is retried; a break in the middle is an error of the stream. */
  async getStream(key: string): Promise<Readable> {
    return this.#attempt('get', key, () => this.#client.getObject(this.name, key));
  }

  /** Exactly `length` bytes from `start`; throws RANGE_INVALID when the object is shorter. */
  async range(key: string, start: number, length: number): Promise<Buffer> {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || start < 0 || length <= 0) {
      throw new ObjectStoreError(
        'RANGE_INVALID',
        `range ${this.uri(key)}: ${length} bytes from ${start} is no range`,
      );
    }
    const content = await this.#attempt('range', key, async () =>
      collect(await this.#client.getPartialObject(this.name, key, start, length)),
    );
    if (content.length !== length) {
      throw new ObjectStoreError(
        'RANGE_INVALID',
        `range ${this.uri(key)}: ${content.length} of ${length} bytes from ${start}`,
      );
    }
    return content;
  }

  /** Throws OBJECT_MISSING when there is none. */
  async stat(key: string): Promise<ObjectStat> {
    const item = await this.#attempt('stat', key, () => this.#client.statObject(this.name, key));
    const metadata: Record<string, string> = {};
    for (const [name, value] of Object.entries(item.metaData)) metadata[name] = String(value);
    return {
      key,
      bytes: item.size,
      etag: item.etag,
      lastModified: item.lastModified,
      sha256: metadata[SHA256_METADATA],
      metadata,
    };
  }

  /** `stat`, or undefined when there is no such object. */
  async find(key: string): Promise<ObjectStat | undefined> {
    try {
      return await this.stat(key);
    } catch (error) {
      if (isObjectStoreError(error, 'OBJECT_MISSING')) return undefined;
      throw error;
    }
  }

  /** Objects whose key starts with `prefix`, in the byte order of their keys, at all depths. */
  async *list(prefix: string): AsyncGenerator<ListedObject, void, undefined> {
    let token = '';
    do {
      const from = token;
      const page = await this.#attempt('list', prefix, () =>
        this.#client.listObjectsV2Query(this.name, prefix, from, '', 1000, ''),
      );
      for (const item of page.objects) {
        if (item.name !== undefined) yield { key: item.name, bytes: item.size, etag: item.etag };
      }
      token = page.isTruncated ? page.nextContinuationToken : '';
    } while (token !== '');
  }

  /** Removing what is not there succeeds. */
  async remove(key: string): Promise<void> {
    await this.#attempt('remove', key, () => this.#client.removeObject(this.name, key));
  }

  /** Uploads a file in constant memory, with its sha256 (from a first pass) in the object's metadata. */
  async putFile(key: string, path: string, options: PutOptions = {}): Promise<PutResult> {
    const { sha256, bytes } = await sha256OfFile(path);
    const sent = await this.#putChunks(
      key,
      createReadStream(path, { highWaterMark: 1024 * 1024 }),
      withDigest(options, sha256),
    );
    if (sent.sha256 !== sha256) {
      throw new ObjectStoreError(
        'DIGEST_MISMATCH',
        `put ${this.uri(key)}: ${path} changed while it was uploaded (${bytes} bytes at first, ${sent.bytes} sent)`,
      );
    }
    return sent;
  }

  /**
   * Uploads a stream in constant memory and digests it on the way. Up to one part (16 MiB) it is one request with the
   * sha256 in the metadata; larger ones go up in parts, and the object appears only when the last part has arrived.
   */
  async putStream(key: string, content: AsyncIterable<Buffer>, options: PutOptions = {}): Promise<PutResult> {
    return this.#putChunks(key, content, options);
  }

  async #putChunks(key: string, content: AsyncIterable<unknown>, options: PutOptions): Promise<PutResult> {
    const hash = createHash('sha256');
    let bytes = 0;
    let upload: MultipartUpload | undefined;
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    try {
      for await (const chunk of content) {
        const piece = chunk as Buffer;
        hash.update(piece);
        bytes += piece.length;
        pending.push(piece);
        pendingBytes += piece.length;
        // More than a part, never exactly one: what remains at the end is then never empty.
        while (pendingBytes > PART_BYTES) {
          const whole = Buffer.concat(pending);
          upload ??= await this.#openUpload(key, options);
          await this.#putPart(key, upload, whole.subarray(0, PART_BYTES));
          const rest = whole.subarray(PART_BYTES);
          pending = [rest];
          pendingBytes = rest.length;
        }
      }
      const sha256 = hash.digest('hex');
      const last = Buffer.concat(pending);
      if (upload === undefined) {
        return await this.#attempt('put', key, () => this.#put(key, last, sha256, options, {}));
      }
      const { id, parts } = upload;
      await this.#putPart(key, upload, last);
      const done = await this.#attempt('complete upload of', key, () =>
        this.#client.completeMultipartUpload(this.name, key, id, parts),
      );
      return { bytes, sha256, etag: done.etag };
    } catch (error) {
      if (upload !== undefined) await this.#abandonUpload(key, upload);
      throw error;
    }
  }

  async #put(
    key: string,
    content: Buffer,
    sha256: string,
    options: PutOptions,
    condition: Readonly<Record<string, string>>,
  ): Promise<PutResult> {
    const { etag } = await this.#client.putObject(this.name, key, content, content.length, {
      ...headersOf(withDigest(options, sha256)),
      ...condition,
    });
    return { bytes: content.length, sha256, etag };
  }

  async #openUpload(key: string, options: PutOptions): Promise<MultipartUpload> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(headersOf(options))) {
      headers[name === 'Content-Type' ? name : `x-amz-meta-${name}`] = value;
    }
    const id = await this.#attempt('open upload of', key, () =>
      this.#client.initiateNewMultipartUpload(this.name, key, headers),
    );
    return { id, parts: [] };
  }

  async #putPart(key: string, upload: MultipartUpload, content: Buffer): Promise<void> {
    const part = upload.parts.length + 1;
    const etag = await this.#attempt(`put part ${part} of`, key, async () => {
      const response = await this.#client.makeRequestAsyncOmit(
        {
          method: 'PUT',
          bucketName: this.name,
          objectName: key,
          query: `partNumber=${part}&uploadId=${encodeURIComponent(upload.id)}`,
          headers: { 'Content-Length': content.length },
        },
        content,
      );
      return (response.headers.etag ?? '').replaceAll('"', '');
    });
    upload.parts.push({ part, etag });
  }

  /** Best effort: the error that led here matters more than one of tidying up. */
  async #abandonUpload(key: string, upload: MultipartUpload): Promise<void> {
    try {
      await this.#client.abortMultipartUpload(this.name, key, upload.id);
    } catch {
      return;
    }
  }

  async #attempt<T>(operation: string, key: string, attempt: (n: number) => Promise<T>): Promise<T> {
    return withRetry(this.#retry, `${operation} ${this.uri(key)}`, attempt);
  }
}

interface MultipartUpload {
  readonly id: string;
  readonly parts: { part: number; etag: string }[];
}

function withDigest(options: PutOptions, sha256: string): PutOptions {
  return { ...options, metadata: { ...options.metadata, [SHA256_METADATA]: sha256 } };
}

function headersOf(options: PutOptions): Record<string, string> {
  return { 'Content-Type': options.contentType ?? 'application/octet-stream', ...options.metadata };
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
