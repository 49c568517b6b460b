/** Small topologies of text: build one, pipe records in, read what comes out. */
import {
  nullable,
  StreamBuilder,
  stringSerde,
  TestDriver,
  type KStream,
  type Serde,
  type TestDriverOptions,
} from '../../../lib/index.ts';

export const text = { key: stringSerde, value: stringSerde };
/** Text, with null for no value. */
export const texts = { key: stringSerde, value: nullable(stringSerde) };

/** Text, with null for no key and for no value. */
export const loose = { key: nullable(stringSerde), value: nullable(stringSerde) };

/** One piped record: topic, key, value, event time. */
export type Piped = readonly [topic: string, key: string | null, value: string | null, time: number];

/** `key=value@time`, for records of text. */
export type Seen = string;

export class Bench {
  readonly driver: TestDriver;

  constructor(write: (builder: StreamBuilder) => void, options: TestDriverOptions = {}) {
    const builder = new StreamBuilder();
    write(builder);
    this.driver = new TestDriver(builder.build(), options);
  }

  pipe(...records: readonly Piped[]): this {
    for (const [topic, key, value, timestamp] of records) {
      this.driver.input(topic, text).pipe({ key, value, timestamp });
    }
    return this;
  }

  /** What the topic `out` received since the last call. */
  out(topic = 'out'): Seen[] {
    const output = (this.#outputs[topic] ??= this.driver.output(topic, text));
    return output
      .read()
      .map(({ key, value, timestamp }) => `${key ?? 'null'}=${value ?? 'null'}@${timestamp}`);
  }

  readonly #outputs: Record<string, ReturnType<typeof this.outputOf>> = {};

  outputOf(topic: string) {
    return this.driver.output(topic, text);
  }
}

/** Writes a stream of any values to `out` as text, its key through `keyText`. */
export function show<K, V>(stream: KStream<K, V>, keyText: (key: K) => string = String, topic = 'out'): void {
  const value: Serde<string | null> = nullable(stringSerde);
  stream
    .map((one, key) => ({
      key: key === null ? null : keyText(key),
      value: one === null ? null : typeof one === 'object' ? JSON.stringify(one) : String(one),
    }))
    .to(topic, { key: nullable(stringSerde), value });
}
