import { IndexedHeap } from './indexed-heap.js';
import { precedes, type Sequence } from './sequence.js';

/**
 * Sequences that wait for a device, most important first. A preempted one comes back with the
 * arrival it had, so it stands before all that came after it.
 */
export class RequestQueue {
  readonly #heap = new IndexedHeap<Sequence>(precedes);

  get size(): number {
    return this.#heap.size;
  }

  peek(): Sequence | undefined {
    return this.#heap.peek();
  }

  push(sequence: Sequence): void {
    this.#heap.push(sequence);
    sequence.queue = this;
  }

  remove(sequence: Sequence): void {
    this.#heap.remove(sequence);
    sequence.queue = null;
  }
}
