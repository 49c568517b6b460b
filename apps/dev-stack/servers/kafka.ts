/** Apache Kafka as broker and KRaft controller in one process, sized for a laptop: below 1 GiB resident. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOOPBACK } from '../ports.ts';
import { runLogged } from '../provisioning/run-logged.mjs';
import { provideSoftware } from '../provisioning/software.mjs';
import type { LaunchCommand } from '../server-process.ts';
import type { NativeServer, ServerContext } from './native-server.ts';

const LOG_CONFIGURATION = join(dirname(fileURLToPath(import.meta.url)), 'kafka-log4j2.properties');
const HEALTH_TIMEOUT_MS = 2_000;
const API_VERSIONS = 18;

export class KafkaServer implements NativeServer {
  readonly name = 'kafka';
  readonly home: string;
  readonly ports = ['kafka', 'kafka-controller'] as const;
  readonly stopSignal = 'SIGTERM';
  private software = '';

  constructor(private readonly context: ServerContext) {
    this.home = context.folder.serverFolder('kafka');
  }

  async provide(): Promise<void> {
    this.software = await provideSoftware('kafka', this.context.progress);
  }

  async prepare(): Promise<void> {
    mkdirSync(this.home, { recursive: true });
    writeFileSync(this.configuration, brokerProperties(this.context.ports, this.data));
    if (existsSync(join(this.data, 'meta.properties'))) return;
    const clusterId = randomBytes(16).toString('base64url');
    await runLogged(
      'java',
      [
        '-Xmx128m',
        '-XX:TieredStopAtLevel=1',
        '-cp',
        this.classPath,
        'kafka.tools.StorageTool',
        // With "=", since an id may begin with a dash.
        ...['format', '--ignore-formatted', `--cluster-id=${clusterId}`, '--config', this.configuration],
      ],
      { log: join(this.home, 'format.log') },
    );
  }

  launch(): LaunchCommand {
    return {
      command: 'java',
      args: [
        ...[
          '-Xms256m',
          '-Xmx512m',
          '-XX:MaxDirectMemorySize=128m',
          '-XX:+UseG1GC',
          '-XX:MaxGCPauseMillis=20',
        ],
        ...['-XX:+ExitOnOutOfMemoryError', '-Djava.awt.headless=true'],
        `-Dlog4j2.configurationFile=${LOG_CONFIGURATION}`,
        ...['-cp', this.classPath, 'kafka.Kafka', this.configuration],
      ],
    };
  }

  async isHealthy(): Promise<boolean> {
    return answersApiVersions(this.context.ports.kafka);
  }

  async provision(): Promise<void> {
    // Topics belong to `fp topology apply`; the broker itself needs nothing.
  }

  private get configuration(): string {
    return join(this.home, 'server.properties');
  }

  private get data(): string {
    return join(this.home, 'data');
  }

  private get classPath(): string {
    return join(this.software, 'libs', '*');
  }
}

export function brokerProperties(ports: { kafka: number; 'kafka-controller': number }, data: string): string {
  const settings: Readonly<Record<string, string | number | boolean>> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${LOOPBACK}:${ports['kafka-controller']}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://${LOOPBACK}:${ports.kafka},CONTROLLER://${LOOPBACK}:${ports['kafka-controller']}`,
    'advertised.listeners': `PLAINTEXT://${LOOPBACK}:${ports.kafka}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': data,

    // A typo in a topic name must be an error: topics are made by `fp topology apply`.
    'auto.create.topics.enable': false,
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,

    // A crashed owner's open transaction blocks read_committed readers until it is swept: sweep every second.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 1_000,
    // The first member of a group need not wait for others that may never come.
    'group.initial.rebalance.delay.ms': 0,

    // Sized for one developer: threads and buffers, not limits on what can be stored.
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 4,
    'log.cleaner.threads': 1,
    'log.cleaner.dedupe.buffer.size': 16 * 1024 * 1024,
    'log.cleaner.io.buffer.size': 512 * 1024,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/**
 * Asks the broker for its API versions (version 0 of the request: no body). A KRaft broker serves requests only once it
 * has caught up with the metadata and is unfenced, so an answer means it is ready.
 */
async function answersApiVersions(port: number): Promise<boolean> {
  const correlationId = 0x0f0f;
  const request = Buffer.alloc(14);
  request.writeInt32BE(10, 0);
  request.writeInt16BE(API_VERSIONS, 4);
  request.writeInt16BE(0, 6);
  request.writeInt32BE(correlationId, 8);
  request.writeInt16BE(-1, 12);
  return new Promise((resolve) => {
    const socket = connect({ host: LOOPBACK, port, timeout: HEALTH_TIMEOUT_MS });
    let received = Buffer.alloc(0);
    const finish = (healthy: boolean) => {
      socket.destroy();
      resolve(healthy);
    };
    socket.once('connect', () => socket.write(request));
    socket.once('timeout', () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => resolve(false));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 10)
        finish(received.readInt32BE(4) === correlationId && received.readInt16BE(8) === 0);
    });
  });
}
