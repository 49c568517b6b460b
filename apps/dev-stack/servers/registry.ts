/** Apicurio Registry, which speaks Confluent's API; its schemas live in a topic of the stack's broker. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { LOOPBACK, type Ports } from '../ports.ts';
import { provideSoftware } from '../provisioning/software.mjs';
import type { LaunchCommand } from '../server-process.ts';
import { answersOk, type NativeServer, type ServerContext } from './native-server.ts';

const CONFLUENT_API = '/apis/ccompat/v7';

export function registryUrl(ports: Ports): string {
  return `http://${LOOPBACK}:${ports.registry}${CONFLUENT_API}`;
}

export class RegistryServer implements NativeServer {
  readonly name = 'registry';
  readonly home: string;
  readonly ports = ['registry'] as const;
  readonly after = 'kafka';
  readonly stopSignal = 'SIGTERM';
  private software = '';

  constructor(private readonly context: ServerContext) {
    this.home = context.folder.serverFolder('registry');
  }

  async provide(): Promise<void> {
    this.software = await provideSoftware('apicurio-registry', this.context.progress);
  }

  prepare(): Promise<void> {
    mkdirSync(this.home, { recursive: true });
    return Promise.resolve();
  }

  launch(): LaunchCommand {
    const { ports } = this.context;
    return {
      command: 'java',
      // One developer's load: quick to start matters more than peak speed.
      args: [
        ...['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError'],
        '-Djava.util.logging.manager=org.jboss.logmanager.LogManager',
        // The topic is the only place the schemas are in: the broker must not expire it.
        '-Dapicurio.kafkasql.topic.retention.ms=-1',
        ...['-jar', join(this.software, 'apicurio-registry-app-3.0.9-runner.jar')],
      ],
      env: {
        QUARKUS_HTTP_HOST: LOOPBACK,
        QUARKUS_HTTP_PORT: String(ports.registry),
        APICURIO_STORAGE_KIND: 'kafkasql',
        APICURIO_KAFKASQL_BOOTSTRAP_SERVERS: `${LOOPBACK}:${ports.kafka}`,
        // How long it waits at start for a snapshot of the schemas that is usually not there; the default is 5 s.
        APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT: '1000',
      },
    };
  }

  async isHealthy(): Promise<boolean> {
    return answersOk(`${registryUrl(this.context.ports)}/subjects`);
  }

  async provision(): Promise<void> {
    // Subjects belong to `fp topology apply`.
  }
}
