/**
 * A list that is filled and emptied all the time. Emptying an array gives its memory back, to be
 * allocated anew item by item; this one keeps it, and what was in it until that is overwritten.
 */
export class ReusedList<Item> implements Iterable<Item> {
  readonly #items: Item[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: Item): void {
    this.#items[this.#length++] = item;
  }

  clear(): void {
    this.#length = 0;
  }

  *[Symbol.iterator](): Generator<Item, void> {
    for (const [index, item] of this.#items.entries()) {
      if (index >= this.#length) return;
      yield item;
    }
  }
}
