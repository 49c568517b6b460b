/** What the ordered stores (key-value, window, session, versioned) have in common: how a commit moves through them. */
import type { RecordBatch } from '../kafka/record-batch.ts';
import { timeText, type ByteText } from './byte-text.ts';
import type { LayeredBytes } from './layered-bytes.ts';
import type { ChangelogSink, StateStore } from './state-store.ts';

export abstract class OrderedStore implements StateStore {
  readonly name: string;
  protected readonly layers: LayeredBytes;
  /** Entries this far behind observed time go when a commit is applied; null keeps them. */
  readonly #expireAfterMs: number | null;

  constructor(layers: LayeredBytes, expireAfterMs: number | null) {
    this.name = layers.name;
    this.layers = layers;
    this.#expireAfterMs = expireAfterMs;
  }

  get checkpoint(): number | null {
    return this.layers.checkpoint;
  }

  seal(changelog: ChangelogSink | null): void {
    this.layers.seal(
      changelog === null
        ? null
        : (key, value, source) => {
            changelog.append(bytesOf(this.changelogKey(key)), value === null ? null : bytesOf(value), source);
          },
    );
  }

  apply(checkpoint?: number): void {
    this.layers.apply(checkpoint ?? null, this.#expireBelow(this.layers.sealedTime));
  }

  abort(): void {
    this.layers.abort();
  }

  restore(batch: RecordBatch, i: number): void {
    const { data, keyStart, keyLength, valueStart, valueLength } = batch;
    const changelogKey = data.toString('latin1', keyStart[i], keyStart[i]! + Math.max(keyLength[i]!, 0));
    const key = this.storeKey(changelogKey);
    if (key === null) {
      throw new Error(
        `changelog of store "${this.name}", partition ${batch.partition[i]!} offset ${batch.offset[i]!}: a key of ` +
          `${keyLength[i]!} bytes is not one of this kind of store; reset the application's state`,
      );
    }
    const length = valueLength[i]!;
    const start = valueStart[i]!;
    this.layers.restore(
      key,
      length < 0 ? null : data.toString('latin1', start, start + length),
      batch.offset[i]!,
    );
  }

  flush(checkpoint?: number): void {
    this.layers.flush({
      checkpoint: checkpoint ?? null,
      expireBelow: this.#expireBelow(this.layers.observedTime),
    });
  }

  wipe(): void {
    this.layers.wipe();
  }

  close(): void {
    this.layers.close();
  }

  /** The changelog's form of a key of the layers. */
  protected abstract changelogKey(key: ByteText): ByteText;

  /** The layers' form of a changelog key; observes its time. null when it cannot be one. */
  protected abstract storeKey(changelogKey: ByteText): ByteText | null;

  #expireBelow(observedTime: number): ByteText | null {
    if (this.#expireAfterMs === null) return null;
    const live = observedTime - this.#expireAfterMs + 1;
    return live > 0 ? timeText(live) : null;
  }
}

function bytesOf(text: ByteText): Buffer {
  return Buffer.from(text, 'latin1');
}
