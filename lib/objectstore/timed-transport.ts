/**
 * The HTTP transport under the S3 client: one keep-alive pool per store, a limit on connecting, a limit on silence
 * while reading, and server faults turned into typed errors (the client library would hide their status).
 */
import * as http from 'node:http';
import * as https from 'node:https';
import { ObjectStoreError } from './object-store-error.ts';

export interface TransportTimeouts {
  /** Milliseconds until the connection stands. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte in either direction. */
  readonly readTimeoutMs: number;
}

const SERVER_FAULTS: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

export interface TimedTransport {
  readonly agent: http.Agent;
  readonly transport: Pick<typeof http, 'request'>;
}

export function timedTransport(secure: boolean, timeouts: TransportTimeouts): TimedTransport {
  const pool = { keepAlive: true, maxSockets: 64 };
  const agent = secure ? new https.Agent(pool) : new http.Agent(pool);
  const open = secure ? https.request : http.request;

  function request(options: http.RequestOptions, onResponse?: (response: http.IncomingMessage) => void) {
    const call = open(options, (response) => {
      if (SERVER_FAULTS.has(response.statusCode ?? 0)) {
        response.resume();
        call.emit(
          'error',
          new ObjectStoreError('THROTTLED', `the store answered HTTP ${response.statusCode ?? 0}`),
        );
        return;
      }
      call.setTimeout(timeouts.readTimeoutMs, () =>
        response.destroy(
          new ObjectStoreError('TIMEOUT', `no data for ${timeouts.readTimeoutMs} ms while reading`),
        ),
      );
      onResponse?.(response);
    });
    call.setTimeout(timeouts.readTimeoutMs, () =>
      call.destroy(new ObjectStoreError('TIMEOUT', `no answer within ${timeouts.readTimeoutMs} ms`)),
    );
    call.once('socket', (socket) => {
      if (!socket.connecting) return;
      const limit = setTimeout(
        () =>
          call.destroy(
            new ObjectStoreError('TIMEOUT', `no connection within ${timeouts.connectTimeoutMs} ms`),
          ),
        timeouts.connectTimeoutMs,
      );
      const stop = (): void => clearTimeout(limit);
      socket.once('connect', stop).once('close', stop);
    });
    return call;
  }

  // The client only ever calls request(options, callback); node's type also has the URL forms.
  return { agent, transport: { request: request as typeof http.request } };
}
