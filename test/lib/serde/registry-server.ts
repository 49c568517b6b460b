/** A schema registry over HTTP for tests that need its failures: just enough of the API, and faults on demand. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';

type Fault = (response: ServerResponse) => void;

export class RegistryServer {
  url = '';
  readonly requests: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  /** Answers for the next requests, before the registry's own. */
  readonly faults: Fault[] = [];
  readonly schemas = new Map<number, { schema: string; schemaType?: string; references?: object[] }>();
  readonly subjects = new Map<string, number[]>();

  static async start(t: ExecutionContext): Promise<RegistryServer> {
    const registry = new RegistryServer();
    const server = createServer((request, response) => {
      registry.#serve(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    registry.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`;
    t.teardown(() => {
      server.closeAllConnections();
      server.close();
    });
    return registry;
  }

  add(id: number, subject: string, schema: object, extra: object = {}): void {
    this.schemas.set(id, { schema: JSON.stringify(schema), ...extra });
    this.subjects.set(subject, [...(this.subjects.get(subject) ?? []), id]);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const line = `${request.method ?? ''} ${decodeURIComponent(request.url ?? '').replace(/^\/api/, '')}`;
      this.requests.push(line);
      this.authorizations.push(request.headers.authorization);
      const fault = this.faults.shift();
      if (fault !== undefined) {
        fault(response);
        return;
      }
      const [status, answer] = this.#answer(line, body);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  }

  #answer(line: string, body: string): [number, unknown] {
    const byId = /^GET \/schemas\/ids\/(\d+)$/.exec(line);
    if (byId !== null) {
      const schema = this.schemas.get(Number(byId[1]));
      return schema === undefined ? [404, { error_code: 40403, message: 'Schema not found' }] : [200, schema];
    }
    const version = /^GET \/subjects\/(.+)\/versions\/(latest|\d+)$/.exec(line);
    if (version !== null) {
      const ids = this.subjects.get(version[1]!);
      const id = version[2] === 'latest' ? ids?.at(-1) : ids?.[Number(version[2]) - 1];
      if (id === undefined) return [404, { error_code: 40401, message: 'Subject not found' }];
      return [200, { subject: version[1], id, version: 1, ...this.schemas.get(id) }];
    }
    const lookup = /^POST \/subjects\/([^/]+)$/.exec(line);
    if (lookup !== null) {
      const { schema } = JSON.parse(body) as { schema: string };
      const ids = this.subjects.get(lookup[1]!);
      if (ids === undefined) return [404, { error_code: 40401, message: 'Subject not found' }];
      const id = ids.find((candidate) => this.schemas.get(candidate)?.schema === schema);
      return id === undefined
        ? [404, { error_code: 40403, message: 'Schema not found' }]
        : [200, { subject: lookup[1], id, version: 1, schema }];
    }
    return [405, { error_code: 405, message: `no such call: ${line}` }];
  }
}
