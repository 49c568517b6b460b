/**
 * Prometheus metrics: one registry per service, names as the ecosystem writes them (snake case, base units,
 * `_total` on counters), and the HTTP exposition a Prometheus server scrapes.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type { Counter, Gauge, Histogram } from 'prom-client';

export interface MetricsOptions {
  /** Labels on every sample, such as the service's name. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Adds the Node process's own metrics (CPU, memory, event loop lag). Default false. */
  readonly process?: boolean;
}

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** A service's metrics. Asking again for a name gives the metric that exists; another kind or other labels throw. */
export class Metrics {
  readonly registry = new Registry();

  constructor(options: MetricsOptions = {}) {
    if (options.labels !== undefined) this.registry.setDefaultLabels({ ...options.labels });
    if (options.process === true) collectDefaultMetrics({ register: this.registry });
  }

  /** Only rises. Its name must end in `_total`. */
  counter<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    if (!name.endsWith('_total')) throw new RangeError(`counter '${name}' must end in _total`);
    return this.#metric(name, labelNames, Counter<L>, () => {
      return new Counter<L>({ name, help, labelNames: [...labelNames], registers: [this.registry] });
    });
  }

  /** Rises and falls. `collect` is called at each scrape, for values that are read and not kept. */
  gauge<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (gauge: Gauge<L>) => void | Promise<void>,
  ): Gauge<L> {
    return this.#metric(name, labelNames, Gauge<L>, () => {
      return new Gauge<L>({
        name,
        help,
        labelNames: [...labelNames],
        registers: [this.registry],
        ...(collect === undefined
          ? {}
          : {
              async collect(this: Gauge<L>) {
                await collect(this);
              },
            }),
      });
    });
  }

  /** Counts observations in buckets. `buckets` are upper bounds in the metric's unit, ascending. */
  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    return this.#metric(name, labelNames, Histogram<L>, () => {
      return new Histogram<L>({
        name,
        help,
        buckets: [...buckets],
        labelNames: [...labelNames],
        registers: [this.registry],
      });
    });
  }

  /** The exposition in Prometheus' text format. */
  exposition(): Promise<string> {
    return this.registry.metrics();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  #metric<M extends object>(
    name: string,
    labelNames: readonly string[],
    kind: new (...args: never[]) => M,
    create: () => M,
  ): M {
    if (!METRIC_NAME.test(name))
      throw new RangeError(`'${name}' is not a metric name (${METRIC_NAME.source})`);
    const known: unknown = this.registry.getSingleMetric(name);
    if (known === undefined) return create();
    const labels = (known as { labelNames?: readonly string[] }).labelNames ?? [];
    if (!(known instanceof kind) || labels.join() !== labelNames.join()) {
      throw new RangeError(
        `metric '${name}' exists already as another kind or with labels [${labels.join(', ')}]`,
      );
    }
    return known;
  }
}

export interface MetricsServer {
  /** The port it listens on; the one asked for, or the system's choice when that was 0. */
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `GET /metrics` over plain HTTP. Rejects when the port is taken. Default host 127.0.0.1: exposing it
 * further is a decision of the deployment.
 */
export async function serveMetrics(
  metrics: Metrics,
  port: number,
  host = '127.0.0.1',
): Promise<MetricsServer> {
  const server: Server = createServer((request, response) => {
    if (request.method !== 'GET' || new URL(request.url ?? '/', 'http://metrics').pathname !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    metrics.exposition().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: unknown) => {
        response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`);
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}
