/**
 * The REST API of a Confluent-compatible schema registry, as typed calls.
 *
 * It speaks HTTP itself because the usual Node client reports a refused connection and a timeout as status 400 and
 * drops the registry's error code, so that "the registry is down" cannot be told from "the registry says no"; and
 * that difference decides between waiting and quarantine.
 */

export const COMPATIBILITY_LEVELS = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;
export type Compatibility = (typeof COMPATIBILITY_LEVELS)[number];

export type SchemaRegistryErrorCode =
  /** No answer in time, or a 5xx or 429: try again later. The only retriable code. */
  | 'UNAVAILABLE'
  | 'UNAUTHORIZED'
  | 'SUBJECT_NOT_FOUND'
  | 'VERSION_NOT_FOUND'
  /** No schema has the id, or the subject does not hold the schema. */
  | 'SCHEMA_NOT_FOUND'
  /** The subject has no compatibility level of its own. */
  | 'COMPATIBILITY_NOT_SET'
  | 'INCOMPATIBLE'
  | 'INVALID_SCHEMA'
  /** Any other refusal, or an answer that is not the registry's. */
  | 'REFUSED';

export class SchemaRegistryError extends Error {
  override readonly name = 'SchemaRegistryError';
  readonly code: SchemaRegistryErrorCode;
  /** True when the same call may succeed later without anyone changing anything. */
  readonly retriable: boolean;

  constructor(message: string, code: SchemaRegistryErrorCode, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.retriable = code === 'UNAVAILABLE';
  }
}

/** The registry's own error codes (Confluent's API reference). */
const REGISTRY_CODES: Readonly<Record<number, SchemaRegistryErrorCode>> = {
  401: 'UNAUTHORIZED',
  403: 'UNAUTHORIZED',
  409: 'INCOMPATIBLE',
  40401: 'SUBJECT_NOT_FOUND',
  40402: 'VERSION_NOT_FOUND',
  40403: 'SCHEMA_NOT_FOUND',
  40408: 'COMPATIBILITY_NOT_SET',
  40901: 'INCOMPATIBLE',
  42201: 'INVALID_SCHEMA',
};

export interface RegistryClientOptions {
  /** Base URL, such as http://127.0.0.1:8080/apis/ccompat/v7. `user:password@` in it becomes basic authentication. */
  readonly url: string;
  /** Milliseconds to wait for one answer. Default 5000. */
  readonly timeoutMs?: number;
  /** Tries per call while the registry is unavailable. Default 4. */
  readonly attempts?: number;
  /** Milliseconds before the second try; doubled for each further one. Default 100. */
  readonly retryBackoffMs?: number;
}

export interface SchemaReference {
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

export interface SchemaById {
  readonly schema: string;
  readonly schemaType?: string;
  readonly references?: readonly SchemaReference[];
}

export interface SubjectVersion extends SchemaById {
  readonly subject: string;
  readonly id: number;
  readonly version: number;
}

interface ErrorAnswer {
  readonly error_code?: unknown;
  readonly message?: unknown;
}

const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json';
const subjectPath = (subject: string): string => `/subjects/${encodeURIComponent(subject)}`;

export class RegistryClient {
  /** The base URL without credentials: fit for messages. */
  readonly url: string;
  readonly #authorization: string | undefined;
  readonly #timeoutMs: number;
  readonly #attempts: number;
  readonly #backoffMs: number;

  constructor(options: RegistryClientOptions) {
    let url: URL;
    try {
      url = new URL(options.url);
    } catch {
      throw new SchemaRegistryError(
        'the schema registry URL is not a URL: give http://host:port[/path]',
        'REFUSED',
      );
    }
    if (url.username !== '') {
      const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
      this.#authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
      url.username = '';
      url.password = '';
    }
    this.url = url.toString().replace(/\/+$/, '');
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#attempts = options.attempts ?? 4;
    this.#backoffMs = options.retryBackoffMs ?? 100;
  }

  async subjects(): Promise<string[]> {
    return (await this.#call('GET', '/subjects')) as string[];
  }

  async schemaById(id: number): Promise<SchemaById> {
    return (await this.#call('GET', `/schemas/ids/${id}`, undefined, 'SCHEMA_NOT_FOUND')) as SchemaById;
  }

  async version(subject: string, version: number | 'latest'): Promise<SubjectVersion> {
    const path = `${subjectPath(subject)}/versions/${version}`;
    return (await this.#call('GET', path, undefined, 'SUBJECT_NOT_FOUND')) as SubjectVersion;
  }

  /** The numbers of a subject's versions, oldest first. Rejects with SUBJECT_NOT_FOUND. */
  async versions(subject: string): Promise<number[]> {
    return (await this.#call(
      'GET',
      `${subjectPath(subject)}/versions`,
      undefined,
      'SUBJECT_NOT_FOUND',
    )) as number[];
  }

  /** Registers (or finds) a schema in a subject and gives its id. */
  async register(subject: string, schema: string): Promise<number> {
    const answer = await this.#call('POST', `${subjectPath(subject)}/versions`, { schema });
    return (answer as { readonly id: number }).id;
  }

  /** Where a subject holds exactly this schema. Rejects with SCHEMA_NOT_FOUND or SUBJECT_NOT_FOUND. */
  async lookup(subject: string, schema: string): Promise<SubjectVersion> {
    return (await this.#call('POST', subjectPath(subject), { schema }, 'SCHEMA_NOT_FOUND')) as SubjectVersion;
  }

  /** Asks whether a schema may become the subject's next version. */
  async check(
    subject: string,
    schema: string,
  ): Promise<{ readonly compatible: boolean; readonly reasons: string[] }> {
    const path = `/compatibility${subjectPath(subject)}/versions?verbose=true`;
    const answer = (await this.#call('POST', path, { schema }, 'SUBJECT_NOT_FOUND')) as {
      readonly is_compatible: boolean;
      readonly messages?: readonly unknown[];
    };
    return { compatible: answer.is_compatible, reasons: (answer.messages ?? []).map(String) };
  }

  /** The subject's own level; undefined when only the registry's default applies to it. */
  async compatibility(subject: string): Promise<Compatibility | undefined> {
    try {
      const answer = await this.#call(
        'GET',
        `/config/${encodeURIComponent(subject)}`,
        undefined,
        'COMPATIBILITY_NOT_SET',
      );
      return (answer as { readonly compatibilityLevel: Compatibility }).compatibilityLevel;
    } catch (error) {
      const unset: readonly SchemaRegistryErrorCode[] = ['COMPATIBILITY_NOT_SET', 'SUBJECT_NOT_FOUND'];
      if (error instanceof SchemaRegistryError && unset.includes(error.code)) return undefined;
      throw error;
    }
  }

  async setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    await this.#call('PUT', `/config/${encodeURIComponent(subject)}`, { compatibility });
  }

  /** Deletes a subject's versions; `permanently` after a first, soft deletion. Ids stay readable after a soft one. */
  async deleteSubject(subject: string, permanently = false): Promise<void> {
    await this.#call(
      'DELETE',
      `${subjectPath(subject)}${permanently ? '?permanent=true' : ''}`,
      undefined,
      'SUBJECT_NOT_FOUND',
    );
  }

  async #call(
    method: string,
    path: string,
    body?: object,
    notFound?: SchemaRegistryErrorCode,
  ): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(method, path, body, notFound);
      } catch (error) {
        const again = error instanceof SchemaRegistryError && error.retriable && attempt < this.#attempts;
        if (!again) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, this.#backoffMs * 2 ** (attempt - 1)));
    }
  }

  async #once(
    method: string,
    path: string,
    body?: object,
    notFound?: SchemaRegistryErrorCode,
  ): Promise<unknown> {
    const what = `schema registry at ${this.url}: ${method} ${path}`;
    let status: number;
    let text: string;
    try {
      const response = await fetch(this.url + path, {
        method,
        headers: {
          accept: `${MEDIA_TYPE}, application/json`,
          ...(body === undefined ? {} : { 'content-type': MEDIA_TYPE }),
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      status = response.status;
      text = await response.text();
    } catch (error) {
      throw new SchemaRegistryError(`${what}: no answer (${reasonOf(error)})`, 'UNAVAILABLE', {
        cause: error,
      });
    }
    const answer = parse(text);
    if (status < 300 && answer !== undefined) return answer;
    const { error_code: registryCode, message } = (answer ?? {}) as ErrorAnswer;
    const said = typeof message === 'string' ? message : text.slice(0, 200);
    throw new SchemaRegistryError(`${what}: ${status} ${said}`, errorCode(status, registryCode, notFound));
  }
}

/**
 * A 404 counts as "not found" only with the registry's own error code in it: a proxy's or a starting server's 404
 * page says nothing about the schema.
 */
function errorCode(
  status: number,
  registryCode: unknown,
  notFound?: SchemaRegistryErrorCode,
): SchemaRegistryErrorCode {
  if (status >= 500 || status === 429 || status === 408) return 'UNAVAILABLE';
  if (typeof registryCode === 'number') {
    return REGISTRY_CODES[registryCode] ?? (status === 404 ? notFound : REGISTRY_CODES[status]) ?? 'REFUSED';
  }
  if (status === 404) return 'UNAVAILABLE';
  return REGISTRY_CODES[status] ?? 'REFUSED';
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** fetch hides the reason ("fetch failed") in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  const inner = cause as (Error & { code?: string }) | undefined;
  return inner?.code ?? inner?.message ?? message;
}
