/** Records of a kind on their way to the host, in frames of bounded size. */

/** Encoding and decoding so much takes a millisecond or so. */
export const MAX_FRAME_BYTES = 1 << 18;

/** First in, first out. */
export class FrameQueue<Item> {
  readonly #sizeOf: (item: Item) => number;
  #items: Item[] = [];
  #numBytes = 0;

  /** @param sizeOf About how many bytes an item takes in a frame. */
  constructor(sizeOf: (item: Item) => number) {
    this.#sizeOf = sizeOf;
  }

  get numBytes(): number {
    return this.#numBytes;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  add(item: Item): void {
    this.#items.push(item);
    this.#numBytes += this.#sizeOf(item);
  }

  /** The items of the next frame: at least one, if there is any. */
  takeFrame(): readonly Item[] {
    const items = this.#items;
    if (this.#numBytes <= MAX_FRAME_BYTES) {
      this.#items = [];
      this.#numBytes = 0;
      return items;
    }
    let numTaken = 0;
    let numBytes = 0;
    for (const item of items) {
      const size = this.#sizeOf(item);
      if (numTaken > 0 && numBytes + size > MAX_FRAME_BYTES) break;
      numBytes += size;
      numTaken++;
    }
    this.#numBytes -= numBytes;
    return items.splice(0, numTaken);
  }
}
