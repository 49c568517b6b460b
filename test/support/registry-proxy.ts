/** A schema registry that can be switched off: requests are passed on while it is up, and connections cut while not. */
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class RegistryProxy {
  readonly #server: Server;
  readonly #target: URL;
  #up = true;
  /** Requests that were cut since it was switched off. */
  refused = 0;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
  }

  static async listen(target: string): Promise<RegistryProxy> {
    const server = createServer();
    const proxy = new RegistryProxy(server, new URL(target));
    server.on('request', (incoming, answer) => {
      if (!proxy.#up) {
        proxy.refused += 1;
        incoming.socket.destroy();
        return;
      }
      const { hostname, port } = proxy.#target;
      const { method, url: path, headers } = incoming;
      const outgoing = request({ hostname, port, path, method, headers }, (found) => {
        answer.writeHead(found.statusCode ?? 502, found.headers);
        found.pipe(answer);
      });
      outgoing.on('error', () => answer.destroy());
      incoming.pipe(outgoing);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return proxy;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.#target.pathname}`;
  }

  switchOff(): void {
    this.#up = false;
    this.refused = 0;
    this.#server.closeAllConnections();
  }

  switchOn(): void {
    this.#up = true;
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((closed) => this.#server.close(() => closed()));
  }
}
