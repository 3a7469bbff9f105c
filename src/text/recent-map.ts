/** A map of limited size: what was not used for longest goes first. */
export class RecentMap<Key, Value> {
  readonly #capacity: number;
  readonly #onGone: (value: Value) => void;
  // In the order of use.
  readonly #values = new Map<Key, Value>();

  /** @param onGone Called for what is pushed out or deleted. */
  constructor(capacity: number, onGone: (value: Value) => void) {
    this.#capacity = capacity;
    this.#onGone = onGone;
  }

  get(key: Key): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  /** Adds a key that is not there. */
  add(key: Key, value: Value): void {
    const [oldest] = this.#values.keys();
    if (this.#values.size >= this.#capacity && oldest !== undefined) this.delete(oldest);
    this.#values.set(key, value);
  }

  delete(key: Key): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#onGone(value);
  }

  clear(): void {
    for (const key of [...this.#values.keys()]) this.delete(key);
  }
}
