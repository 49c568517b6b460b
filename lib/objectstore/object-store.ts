/** An S3-compatible object store: connection, timeouts and retries. Buckets do the work (bucket.ts). */
import { Client } from 'minio';
import { Bucket, PART_BYTES } from './bucket.ts';
import { isObjectStoreError } from './object-store-error.ts';
import { withRetry, type RetryPolicy } from './retry.ts';
import { timedTransport, type TransportTimeouts } from './timed-transport.ts';

export interface ObjectStoreOptions {
  /** `http://host:port` or `https://host[:port]`. */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Default `us-east-1`. */
  readonly region?: string;
  /** Default from OBJECT_STORE_CONNECT_TIMEOUT (seconds), else 10 s. */
  readonly connectTimeoutMs?: number;
  /** Silence allowed while waiting or reading. Default from OBJECT_STORE_READ_TIMEOUT (seconds), else 120 s. */
  readonly readTimeoutMs?: number;
  /** Attempts of one operation, 1 or more. Default from OBJECT_STORE_MAX_ATTEMPTS, else 5. */
  readonly maxAttempts?: number;
}

const FIRST_RETRY_DELAY_MS = 100;
const MAX_RETRY_DELAY_MS = 5_000;

export class ObjectStore {
  /** The endpoint as given, for messages; credentials are never shown. */
  readonly endpoint: string;
  readonly #client: Client;
  readonly #retry: RetryPolicy;
  readonly #close: () => void;

  private constructor(endpoint: string, client: Client, retry: RetryPolicy, close: () => void) {
    this.endpoint = endpoint;
    this.#client = client;
    this.#retry = retry;
    this.#close = close;
  }

  /** Makes a client; nothing is contacted until the first operation. Throws a RangeError on a bad option. */
  static connect(options: ObjectStoreOptions, env: NodeJS.ProcessEnv = process.env): ObjectStore {
    const url = endpointUrl(options.endpoint);
    const secure = url.protocol === 'https:';
    const timeouts: TransportTimeouts = {
      connectTimeoutMs: options.connectTimeoutMs ?? 1000 * positive(env, 'OBJECT_STORE_CONNECT_TIMEOUT', 10),
      readTimeoutMs: options.readTimeoutMs ?? 1000 * positive(env, 'OBJECT_STORE_READ_TIMEOUT', 120),
    };
    const { agent, transport } = timedTransport(secure, timeouts);
    const client = new Client({
      endPoint: url.hostname,
      port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
      useSSL: secure,
      accessKey: options.accessKey,
      secretKey: options.secretKey,
      region: options.region ?? 'us-east-1',
      partSize: PART_BYTES,
      transport,
      transportAgent: agent,
      // Retries are ours: they are typed, jittered and silent.
      retryOptions: { disableRetry: true },
    });
    const retry: RetryPolicy = {
      maxAttempts: Math.trunc(options.maxAttempts ?? positive(env, 'OBJECT_STORE_MAX_ATTEMPTS', 5)),
      firstDelayMs: FIRST_RETRY_DELAY_MS,
      maxDelayMs: MAX_RETRY_DELAY_MS,
    };
    return new ObjectStore(options.endpoint, client, retry, () => agent.destroy());
  }

  bucket(name: string): Bucket {
    return new Bucket(name, this.#client, this.#retry);
  }

  async bucketExists(name: string): Promise<boolean> {
    return withRetry(this.#retry, `look for bucket ${name}`, () => this.#client.bucketExists(name));
  }

  /** Creates the bucket unless it exists. */
  async ensureBucket(name: string): Promise<void> {
    if (await this.bucketExists(name)) return;
    try {
      await withRetry(this.#retry, `create bucket ${name}`, () => this.#client.makeBucket(name));
    } catch (error) {
      // Somebody else created it between the two calls.
      if (!isObjectStoreError(error) || !(await this.bucketExists(name))) throw error;
    }
  }

  /** Removes an empty bucket. */
  async removeBucket(name: string): Promise<void> {
    await withRetry(this.#retry, `remove bucket ${name}`, () => this.#client.removeBucket(name));
  }

  /** Closes pooled connections; operations in flight fail. */
  close(): void {
    this.#close();
  }
}

function endpointUrl(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new RangeError(`object store endpoint '${endpoint}' is not a URL such as http://127.0.0.1:9000`);
  }
  return url;
}

function positive(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const text = env[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw new RangeError(`${name}='${text}' is not a positive number`);
  }
  return value;
}
