/** The archiver's side of the thread: everything it needs is opened here, nothing but messages is shared. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLogger } from '../../../lib/index.ts';
import { openArchiver } from './open-archiver.ts';
import type { ArchiveCommand, ArchiveEvent, ArchiveThreadData } from './archive-thread.ts';

const { settings, idleFlushMs, logger: logging, lastRowsAt } = workerData as ArchiveThreadData;
const port = parentPort!;
const say = (event: ArchiveEvent): void => port.postMessage(event);
const stop = new AbortController();
const logger = createLogger(logging);
const lastRows = new Float64Array(lastRowsAt);

const ended = new Set<string>();
let tell: (run: string) => void = (run) => ended.add(run);
port.on('message', (command: ArchiveCommand) => {
  if (command.do === 'stop') stop.abort();
  else tell(command.run);
});

const opened = await openArchiver({
  settings,
  logger,
  signal: stop.signal,
  ...(idleFlushMs === undefined ? {} : { idleFlushMs }),
  ledgerIdleMs: () => Date.now() - lastRows[0]!,
  observer: {
    wrote: (segment) => say({ event: 'wrote', segment }),
    took: (seconds) => say({ event: 'took', seconds }),
    missed: (records) => say({ event: 'missed', records }),
  },
});
if (opened !== undefined) {
  const { archiver } = opened;
  tell = (run) => archiver.runEnded(run);
  for (const run of ended) archiver.runEnded(run);
  try {
    await archiver.run(stop.signal);
  } finally {
    await opened.close();
  }
}
port.close();
