/**
 * A counting application in a process of its own: for each record it writes its key and how often that key has come
 * so far. One lost or repeated input shows in its output as a gap or a repeat.
 *
 * argv[2]: CountingProgramOptions as JSON.
 */
import {
  keyValueStore,
  nativeClient,
  StreamBuilder,
  StreamsApp,
  stringSerde,
  type CommitStep,
  type Topology,
} from '../../lib/index.ts';

export interface CountingProgramOptions {
  readonly applicationId: string;
  readonly input: string;
  readonly output: string;
  readonly bootstrapServers: string;
  readonly stateDir: string;
  readonly interruption?: Interruption;
}

/** The process sends itself a signal, in the middle of a commit, when it has passed the step this many times. */
export interface Interruption {
  /** SIGKILL: it dies as by kill -9. SIGSTOP: it stands still until somebody sends SIGCONT. */
  readonly signal: 'SIGKILL' | 'SIGSTOP';
  readonly after: CommitStep;
  readonly times: number;
}

/** Small transactions, so that there are many of them, and the shortest session that a broker allows. */
const TRANSACTION_BYTES = 2048;
const POLL_RECORDS = 64;
const SESSION_MS = 6000;
const TRANSACTION_MS = 5000;

function countingTopology(input: string, output: string): Topology {
  const counts = keyValueStore('counts', { key: stringSerde, value: stringSerde });
  const builder = new StreamBuilder();
  builder
    .stream(input, { key: stringSerde, value: stringSerde })
    .process<string, string>(
      () => {
        let count: (key: string) => string;
        let forward: (key: string, value: string, timestamp: number) => void;
        return {
          init(context) {
            const store = context.store(counts);
            const { headers } = context.source;
            count = (key) => {
              const next = String(Number(store.get(key) ?? '0') + 1);
              store.put(key, next);
              return next;
            };
            forward = (key, value, timestamp) => context.forward({ key, value, timestamp, headers });
          },
          process: ({ key, timestamp }) => forward(key, count(key), timestamp),
        };
      },
      { name: 'count', stores: [counts] },
    )
    .to(output, { key: stringSerde, value: stringSerde });
  return builder.build();
}

const options = JSON.parse(process.argv[2]!) as CountingProgramOptions;
const { interruption } = options;
let left = interruption?.times ?? 0;
const app = new StreamsApp({
  applicationId: options.applicationId,
  topology: countingTopology(options.input, options.output),
  client: nativeClient,
  bootstrapServers: options.bootstrapServers,
  stateDir: options.stateDir,
  commitIntervalMs: 0,
  maxPollRecords: POLL_RECORDS,
  maxTransactionBytes: TRANSACTION_BYTES,
  consumerConfig: { 'session.timeout.ms': SESSION_MS },
  producerConfig: { 'transaction.timeout.ms': TRANSACTION_MS },
  onStateChange: (state) => process.stdout.write(`state ${state}\n`),
  onCommitStep: (step) => {
    if (step !== interruption?.after) return;
    left -= 1;
    if (left !== 0) return;
    process.stdout.write(`${interruption.signal} after ${step}\n`);
    process.kill(process.pid, interruption.signal);
  },
});
process.once('SIGTERM', () => void app.close());
// The process that started this one is gone.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.channel?.unref();
await app.run();
