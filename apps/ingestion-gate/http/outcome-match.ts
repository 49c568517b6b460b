/**
 * Finds the outcome of each pushed event by its ingress coordinates.
 *
 * A push is sent with an id of its own in a header. The tail of ingress tells where the id came to lie; the tails of the
 * bus and of outcomes tell what became of those coordinates. The tails are read side by side, so an outcome may be
 * seen before its ingress record: it is kept until the ingress tail has passed its offset, and only while somebody waits.
 */

export interface Coordinates {
  readonly partition: number;
  readonly offset: number;
}

/** A push whose outcome is awaited. */
export interface Expected<T> {
  /** Resolves with what was committed about the event; never rejects. Stays pending after `cancel`. */
  readonly outcome: Promise<T>;
  /** Where the event lies on ingress, once it was seen there. */
  readonly ingress: Coordinates | undefined;
  /** Nobody waits any more. */
  cancel(): void;
}

interface Waiter<T> {
  readonly pushId: string;
  readonly resolve: (outcome: T) => void;
  ingress: Coordinates | undefined;
}

interface PartitionTail<T> {
  /** Offset of the next ingress record to be seen. */
  next: number;
  readonly placed: Map<number, Waiter<T>>;
  readonly early: Map<number, T>;
}

export class OutcomeMatch<T> {
  readonly #sent = new Map<string, Waiter<T>>();
  readonly #partitions = new Map<number, PartitionTail<T>>();
  readonly #mostEarly: number;
  #placed = 0;
  #early = 0;
  /** Outcomes that were forgotten because too many came before their ingress records. */
  overflowed = 0;

  /** `mostEarly` bounds memory: outcomes kept while their ingress records have not been seen. */
  constructor(mostEarly = 50_000) {
    this.#mostEarly = mostEarly;
  }

  /** Events that somebody waits for. */
  get waiting(): number {
    return this.#sent.size + this.#placed;
  }

  /** Must be called before the record is sent. */
  expect(pushId: string): Expected<T> {
    let resolve!: (outcome: T) => void;
    const outcome = new Promise<T>((done) => (resolve = done));
    const waiter: Waiter<T> = { pushId, resolve, ingress: undefined };
    this.#sent.set(pushId, waiter);
    return {
      outcome,
      get ingress() {
        return waiter.ingress;
      },
      cancel: () => this.#cancel(waiter),
    };
  }

  /** The ingress tail has reached a record; `pushId` when it carries one. */
  sawIngress(partition: number, offset: number, pushId: string | undefined): void {
    const tail = this.#tail(partition);
    tail.next = offset + 1;
    const early = tail.early.get(offset);
    if (early !== undefined) {
      tail.early.delete(offset);
      this.#early -= 1;
    }
    const waiter = pushId === undefined ? undefined : this.#sent.get(pushId);
    if (waiter === undefined) return;
    this.#sent.delete(waiter.pushId);
    waiter.ingress = { partition, offset };
    if (early !== undefined) {
      waiter.resolve(early);
      return;
    }
    tail.placed.set(offset, waiter);
    this.#placed += 1;
  }

  /**
   * The gate has decided about an ingress record. `read` is called only if somebody waits, or may be waiting, for it;
   * what it returns is kept.
   */
  sawOutcome(ingress: Coordinates, read: () => T): void {
    const tail = this.#tail(ingress.partition);
    const waiter = tail.placed.get(ingress.offset);
    if (waiter !== undefined) {
      tail.placed.delete(ingress.offset);
      this.#placed -= 1;
      waiter.resolve(read());
    } else if (ingress.offset >= tail.next && this.#sent.size > 0) {
      if (this.#early >= this.#mostEarly) this.#forgetEarly();
      tail.early.set(ingress.offset, read());
      this.#early += 1;
    }
  }

  #cancel(waiter: Waiter<T>): void {
    if (this.#sent.delete(waiter.pushId) || waiter.ingress === undefined) return;
    const { placed } = this.#tail(waiter.ingress.partition);
    if (placed.get(waiter.ingress.offset) !== waiter) return;
    placed.delete(waiter.ingress.offset);
    this.#placed -= 1;
  }

  /** Their waiters, if any, answer that the outcome is pending; the look-up still finds it. */
  #forgetEarly(): void {
    this.overflowed += this.#early;
    this.#early = 0;
    for (const tail of this.#partitions.values()) tail.early.clear();
  }

  #tail(partition: number): PartitionTail<T> {
    let tail = this.#partitions.get(partition);
    if (tail === undefined) {
      tail = { next: 0, placed: new Map(), early: new Map() };
      this.#partitions.set(partition, tail);
    }
    return tail;
  }
}
