/** The stateless operators and the host of custom processors, as they run inside a task. */
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import {
  TopologyError,
  type AnyRecord,
  type OperatorSpec,
  type Receiver,
  type TaskEnvironment,
} from './graph.ts';
import { HeaderBlock } from './headers.ts';
import type { Processor, ProcessorContext, ProcessorSupplier } from './processor.ts';

type Instantiate = OperatorSpec['instantiate'];
type Pair = { readonly key: unknown; readonly value: unknown };
type Mapper<R> = (value: unknown, key: unknown, record: AnyRecord) => R;

export function filterOperator(predicate: (value: unknown, key: unknown) => boolean): Instantiate {
  return (next) => ({
    receive(record) {
      if (predicate(record.value, record.key)) next.receive(record);
    },
  });
}

export function mapOperator(mapper: Mapper<Pair>): Instantiate {
  return (next) => {
    const out = emptyRecord();
    return {
      receive(record) {
        const pair = mapper(record.value, record.key, record);
        forward(next, out, pair.key, pair.value, record);
      },
    };
  };
}

export function mapValuesOperator(mapper: Mapper<unknown>): Instantiate {
  return (next) => {
    const out = emptyRecord();
    return {
      receive(record) {
        forward(next, out, record.key, mapper(record.value, record.key, record), record);
      },
    };
  };
}

export function selectKeyOperator(mapper: Mapper<unknown>): Instantiate {
  return (next) => {
    const out = emptyRecord();
    return {
      receive(record) {
        forward(next, out, mapper(record.value, record.key, record), record.value, record);
      },
    };
  };
}

export function flatMapValuesOperator(mapper: Mapper<Iterable<unknown>>): Instantiate {
  return (next) => {
    const out = emptyRecord();
    return {
      receive(record) {
        for (const value of mapper(record.value, record.key, record)) {
          forward(next, out, record.key, value, record);
        }
      },
    };
  };
}

export function flatMapOperator(mapper: Mapper<Iterable<Pair>>): Instantiate {
  return (next) => {
    const out = emptyRecord();
    return {
      receive(record) {
        for (const pair of mapper(record.value, record.key, record)) {
          forward(next, out, pair.key, pair.value, record);
        }
      },
    };
  };
}

export function peekOperator(action: Mapper<void>): Instantiate {
  return (next) => ({
    receive(record) {
      action(record.value, record.key, record);
      next.receive(record);
    },
  });
}

/** Routes to the branch whose predicate holds first. Branches are its children, in order. */
export function splitOperator(
  predicates: readonly ((value: unknown, key: unknown) => boolean)[],
): Instantiate {
  return (next) => {
    const branches = next instanceof FanOut ? next.receivers : [next];
    return {
      receive(record) {
        for (let i = 0; i < predicates.length; i++) {
          if (predicates[i]!(record.value, record.key)) {
            branches[i]!.receive(record);
            return;
          }
        }
      },
    };
  };
}

/** @param keepsKey whether what the processor forwards must have the key of the record being processed */
export function processOperator(
  supplier: ProcessorSupplier<unknown, unknown, unknown, unknown>,
  stores: readonly StoreSpec<StateStore>[],
  keepsKey = false,
): Instantiate {
  return (next, environment) => {
    const processor = supplier();
    if (keepsKey) return keyKeeping(processor, next, environment, stores);
    processor.init?.(processorContext(next, environment, stores));
    return {
      receive: (record) => processor.process(record),
      close: () => processor.close?.(),
    };
  };
}

function keyKeeping(
  processor: Processor<unknown, unknown, unknown, unknown>,
  next: Receiver,
  environment: TaskEnvironment,
  stores: readonly StoreSpec<StateStore>[],
): Receiver {
  let key: unknown = null;
  let processing = false;
  const guard: Receiver = {
    receive(record) {
      if (processing && record.key !== key) {
        throw new TopologyError(
          'processValues() forwarded a record with another key: its partition would be wrong; use process() instead',
        );
      }
      next.receive(record);
    },
  };
  processor.init?.(processorContext(guard, environment, stores));
  return {
    receive(record) {
      key = record.key;
      processing = true;
      try {
        processor.process(record);
      } finally {
        processing = false;
      }
    },
    close: () => processor.close?.(),
  };
}

function processorContext(
  next: Receiver,
  environment: TaskEnvironment,
  stores: readonly StoreSpec<StateStore>[],
): ProcessorContext<unknown, unknown> {
  return {
    forward: (record) => next.receive(record),
    source: environment.source,
    store<S extends StateStore>(spec: StoreSpec<S>): S {
      if (!stores.includes(spec)) {
        throw new TopologyError(
          `store "${spec.name}" is not among this operator's stores; name it in process(…, { stores })`,
        );
      }
      return environment.store(spec.name) as S;
    },
    schedule: (intervalMs, type, callback) => environment.schedule(intervalMs, type, callback),
    streamTime: () => environment.streamTime(),
    wallTime: () => environment.wallTime(),
    task: environment.task,
  };
}

/** Several children of one node: each record goes to all of them, in order. */
export class FanOut implements Receiver {
  readonly receivers: readonly Receiver[];

  constructor(receivers: readonly Receiver[]) {
    this.receivers = receivers;
  }

  receive(record: AnyRecord): void {
    for (const receiver of this.receivers) receiver.receive(record);
  }
}

export function emptyRecord(): AnyRecord {
  return { key: null, value: null, timestamp: -1, headers: NO_HEADERS };
}

const NO_HEADERS = new HeaderBlock();

function forward(next: Receiver, out: AnyRecord, key: unknown, value: unknown, from: AnyRecord): void {
  out.key = key;
  out.value = value;
  out.timestamp = from.timestamp;
  out.headers = from.headers;
  next.receive(out);
}
