/**
 * A versioned store: what was the value of a key as of a time? (KIP-889)
 *
 * A put says from which event time on its value holds; it holds until the key's next version. Puts may come out of
 * order. Observed time is the highest timestamp ever put. A put older than observed time minus history retention
 * does nothing; a read as of such a time finds only a latest version that old. The latest value of a key never
 * expires. A changelog record is one version: the key's bytes and the timestamp, 8 bytes big endian; its value is
 * the byte 1 and the value's bytes, or the byte 0 for a deletion. Versions that leave the history get a tombstone.
 */
import type { Serde } from '../serde/serde.ts';
import {
  delimited,
  prefixEnd,
  TextCodec,
  TIME_BYTES,
  timeAt,
  timeText,
  undelimited,
  type ByteText,
} from './byte-text.ts';
import type { LayeredBytes, LayerReader } from './layered-bytes.ts';
import { openLayers } from './open-layers.ts';
import { OrderedStore } from './ordered-store.ts';
import type { ChangelogSink, StateStore, StorageKind, StoreSpec } from './state-store.ts';

export interface VersionedStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How far back versions can be read and put, milliseconds of event time, 0 or more. */
  readonly historyRetentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Raise it when what the serdes write changes: local files of another version are wiped. Default 1. */
  readonly formatVersion?: number;
  /** Default `compact`. */
  readonly changelog?: 'compact' | 'none';
}

export interface Version<V> {
  readonly value: V;
  /** Event time from which the value holds, epoch milliseconds. */
  readonly validFrom: number;
  /** Event time of the key's next version, up to which the value holds (exclusive); null for the latest version. */
  readonly validTo: number | null;
}

/** What became of a put. */
export type VersionedPut =
  /** It is older than the history and was dropped. */
  | { readonly accepted: false }
  /** It holds until `validTo` (exclusive); null when it is the latest version. */
  | { readonly accepted: true; readonly validTo: number | null };

/** Timestamps are epoch milliseconds, 0 … 2^53 - 1. */
export interface ReadOnlyVersionedStore<K, V> {
  /** The latest version, or the one that held at `asOfTimestamp`; undefined when there is none or it was deleted. */
  get(key: K, asOfTimestamp?: number): Version<V> | undefined;
  /** Highest timestamp ever put; -1 before the first put. */
  readonly observedTime: number;
  /** Versions held, deletions included; those changed in uncommitted layers may be counted twice. */
  approximateSize(): number;
}

export interface VersionedStore<K, V> extends StateStore, ReadOnlyVersionedStore<K, V> {
  readonly historyRetentionMs: number;
  /** Puts a version, in place of one with the same timestamp; null says that the key has no value from then on. */
  put(key: K, value: V | null, timestamp: number): VersionedPut;
  /** The committed layer alone: what an interactive query may see. */
  committed(): ReadOnlyVersionedStore<K, V>;
}

const PRESENT = '\u0001';
const DELETED = '\u0000';

/** Declares a versioned store. Throws RangeError for a history retention that makes no sense. */
export function versionedStore<K, V>(
  name: string,
  options: VersionedStoreOptions<K, V>,
): StoreSpec<VersionedStore<K, V>> {
  const {
    key,
    value,
    historyRetentionMs,
    storage = 'memory',
    formatVersion = 1,
    changelog = 'compact',
  } = options;
  if (!(Number.isSafeInteger(historyRetentionMs) && historyRetentionMs >= 0)) {
    throw new RangeError(
      `store "${name}": historyRetentionMs must be a whole number from 0 on, not ${historyRetentionMs}`,
    );
  }
  return {
    name,
    changelog,
    storage,
    serdes: [key, value],
    create: (environment) => {
      const layers = openLayers(
        {
          name,
          type: 'versioned',
          formatVersion,
          storage,
          logged: changelog !== 'none',
          timeOf: validFromOf,
        },
        environment,
      );
      return new LayeredVersionedStore(layers, {
        historyRetentionMs,
        key: new TextCodec(key, `store "${name}", key`),
        value: new TextCodec(value, `store "${name}", value`),
      });
    },
  };
}

interface VersionedLayout<K, V> {
  readonly historyRetentionMs: number;
  readonly key: TextCodec<K>;
  readonly value: TextCodec<V>;
}

/** A version's entry is the delimited key and its timestamp. */
function validFromOf(text: ByteText): ByteText {
  return text.slice(text.length - TIME_BYTES);
}

class VersionedReader<K, V> implements ReadOnlyVersionedStore<K, V> {
  readonly #reader: LayerReader;
  readonly #layout: VersionedLayout<K, V>;

  constructor(reader: LayerReader, layout: VersionedLayout<K, V>) {
    this.#reader = reader;
    this.#layout = layout;
  }

  get observedTime(): number {
    return this.#reader.observedTime;
  }

  get(key: K, asOfTimestamp?: number): Version<V> | undefined {
    const prefix = delimited(this.#layout.key.encode(key));
    const end = prefixEnd(prefix);
    const after = asOfTimestamp === undefined ? end : prefixEnd(prefix + timeText(asOfTimestamp));
    for (const [text, content] of this.#reader.scan({ from: prefix, to: after, reverse: true })) {
      const validTo = asOfTimestamp === undefined ? null : this.#nextVersion(after, end);
      const expired =
        asOfTimestamp !== undefined &&
        asOfTimestamp < this.#reader.observedTime - this.#layout.historyRetentionMs;
      if (content.startsWith(DELETED) || (expired && validTo !== null)) return undefined;
      return {
        value: this.#layout.value.decode(content.slice(1)),
        validFrom: timeAt(text, text.length - TIME_BYTES),
        validTo,
      };
    }
    return undefined;
  }

  approximateSize(): number {
    return this.#reader.size;
  }

  #nextVersion(from: ByteText | null, to: ByteText | null): number | null {
    for (const [text] of this.#reader.scan({ from, to, reverse: false })) {
      return timeAt(text, text.length - TIME_BYTES);
    }
    return null;
  }
}

class LayeredVersionedStore<K, V> extends OrderedStore implements VersionedStore<K, V> {
  readonly historyRetentionMs: number;
  readonly #layout: VersionedLayout<K, V>;
  readonly #reader: VersionedReader<K, V>;
  readonly #committed: VersionedReader<K, V>;

  constructor(layers: LayeredBytes, layout: VersionedLayout<K, V>) {
    super(layers, null);
    this.historyRetentionMs = layout.historyRetentionMs;
    this.#layout = layout;
    this.#reader = new VersionedReader(layers, layout);
    this.#committed = new VersionedReader(layers.committed, layout);
  }

  get observedTime(): number {
    return this.layers.observedTime;
  }

  put(key: K, value: V | null, timestamp: number): VersionedPut {
    const from = timeText(timestamp);
    if (timestamp < this.layers.observedTime - this.historyRetentionMs) return { accepted: false };
    this.layers.observe(timestamp);
    const prefix = delimited(this.#layout.key.encode(key));
    this.layers.set(prefix + from, value === null ? DELETED : PRESENT + this.#layout.value.encode(value));
    for (const [text] of this.layers.scan({
      from: prefixEnd(prefix + from),
      to: prefixEnd(prefix),
      reverse: false,
    })) {
      return { accepted: true, validTo: timeAt(text, text.length - TIME_BYTES) };
    }
    return { accepted: true, validTo: null };
  }

  get(key: K, asOfTimestamp?: number): Version<V> | undefined {
    return this.#reader.get(key, asOfTimestamp);
  }

  approximateSize(): number {
    return this.#reader.approximateSize();
  }

  committed(): ReadOnlyVersionedStore<K, V> {
    return this.#committed;
  }

  override seal(changelog: ChangelogSink | null): void {
    this.#leaveHistory();
    super.seal(changelog);
  }

  protected override changelogKey(key: ByteText): ByteText {
    return undelimited(key, TIME_BYTES) + validFromOf(key);
  }

  protected override storeKey(changelogKey: ByteText): ByteText | null {
    const end = changelogKey.length - TIME_BYTES;
    if (end < 0) return null;
    this.layers.observe(timeAt(changelogKey, end));
    return delimited(changelogKey.slice(0, end)) + changelogKey.slice(end);
  }

  /**
   * Deletes the versions that no read can reach any more: those that had been followed by another when the history
   * begins, and the deletions that nothing older is left for. Only timestamps that the beginning of the history has
   * passed since the last seal can have made any, so those are all that is looked at.
   */
  #leaveHistory(): void {
    const begin = this.layers.observedTime - this.historyRetentionMs;
    if (begin < 0 || begin === this.layers.sealedTime - this.historyRetentionMs) return;
    const passed = Math.max(this.layers.sealedTime - this.historyRetentionMs, 0);
    for (const [text, content] of this.layers.scanByTime(timeText(passed), prefixEnd(timeText(begin)))) {
      const prefix = text.slice(0, text.length - TIME_BYTES);
      for (const [older] of this.layers.scan({ from: prefix, to: text, reverse: false })) {
        this.layers.set(older, null);
      }
      if (content.startsWith(DELETED)) this.layers.set(text, null);
    }
  }
}
