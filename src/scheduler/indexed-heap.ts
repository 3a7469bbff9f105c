import { PermafrostError } from '../protocol/errors.js';

/** Something that knows its place in the one heap it is in; -1 outside. */
export interface HeapItem {
  heapIndex: number;
}

/** A binary heap that can also remove what is not first: every change is O(log n). */
export class IndexedHeap<Item extends HeapItem> {
  readonly #items: Item[] = [];
  readonly #precedes: (a: Item, b: Item) => boolean;

  constructor(precedes: (a: Item, b: Item) => boolean) {
    this.#precedes = precedes;
  }

  get size(): number {
    return this.#items.length;
  }

  /** What precedes all others. */
  peek(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    if (item.heapIndex !== -1) {
      throw new PermafrostError('ERR_INTERNAL', 'an item was queued twice');
    }
    this.#items.push(item);
    this.#siftUp(item, this.#items.length - 1);
  }

  pop(): Item | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  remove(item: Item): void {
    const index = item.heapIndex;
    const last = this.#items.pop();
    if (last === undefined || (last !== item && this.#items[index] !== item)) {
      throw new PermafrostError('ERR_INTERNAL', 'an item was removed that is not queued');
    }
    item.heapIndex = -1;
    if (last === item) return;
    this.#siftUp(last, index);
    this.#siftDown(last, last.heapIndex);
  }

  #siftUp(item: Item, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#items[parentIndex];
      if (parent === undefined || !this.#precedes(item, parent)) break;
      this.#put(parent, index);
      index = parentIndex;
    }
    this.#put(item, index);
  }

  #siftDown(item: Item, from: number): void {
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = this.#items[childIndex];
      const right = this.#items[childIndex + 1];
      if (child !== undefined && right !== undefined && this.#precedes(right, child)) {
        child = right;
        childIndex++;
      }
      if (child === undefined || !this.#precedes(child, item)) break;
      this.#put(child, index);
      index = childIndex;
    }
    this.#put(item, index);
  }

  #put(item: Item, index: number): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }
}
