/**
 * Which KV blocks of one device hold which tokens. A full block is known by its tokens and by the
 * block before it; hashes only find it. Blocks that nobody holds any more wait here to be found
 * again or, the longest unused first, to be given out for something else.
 */

/** No block: ids start at 0. */
const NONE = -1;

/** Offsets into a block's record: first doubles, then words. Its tokens lie behind a cache line. */
const LINE_BYTES = 64;
/** 0 = not cached. */
const SERIAL = 0;
const PARENT = 1;
/** The step that was planned last when the block was added. */
const ADDED_AFTER = 2;
const HASH = 6;
/** Its neighbours among the blocks that nobody holds: from the longest unused to the latest. */
const OLDER = 7;
const NEWER = 8;
const TOKENS = LINE_BYTES / 4;

/**
 * Every cached block has a serial number, never used twice. A block is the child of a serial, not
 * of a block id: what follows a block that was given out again can't be found any more.
 */
export class PrefixCache {
  readonly #blockSize: number;
  readonly #doubles: Float64Array;
  /** The same memory. */
  readonly #words: Int32Array;
  /** Of a record, in doubles and in words. */
  readonly #doublesEach: number;
  readonly #wordsEach: number;
  /** Open addressing with linear probing: pairs of hash and block id, or NONE. */
  readonly #table: Int32Array;
  /** Entries of the table, a power of two, less one. */
  readonly #mask: number;
  #oldest = NONE;
  #newest = NONE;
  #numIdle = 0;
  #lastSerial = 0;

  constructor(numBlocks: number, blockSize: number) {
    const numEntries = 2 ** Math.ceil(Math.log2(2 * numBlocks));
    const recordBytes = LINE_BYTES * (1 + Math.ceil((4 * blockSize) / LINE_BYTES));
    const records = new ArrayBuffer(numBlocks * recordBytes);
    this.#doublesEach = recordBytes / 8;
    this.#wordsEach = recordBytes / 4;
    this.#blockSize = blockSize;
    this.#doubles = new Float64Array(records);
    this.#words = new Int32Array(records);
    this.#table = new Int32Array(2 * numEntries).fill(NONE);
    this.#mask = numEntries - 1;
  }

  /** The parent of first blocks. Sequences with different salts share nothing. */
  static root(salt: number): number {
    return -1 - (salt >>> 0);
  }

  /** Cached blocks that nobody holds. */
  get numIdle(): number {
    return this.#numIdle;
  }

  /** 0 when the block is not cached. */
  serialOf(block: number): number {
    return this.#doubles[block * this.#doublesEach + SERIAL] ?? 0;
  }

  /** Whether some block has this hash: a hint, for those who only want to know where to look. */
  mayHold(hash: number): boolean {
    const table = this.#table;
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      if (table[2 * at + 1] === NONE) return false;
      if (table[2 * at] === hash) return true;
    }
  }

  /** The block that holds these tokens behind `parent`; -1 without one. */
  find(hash: number, parent: number, tokens: Int32Array): number {
    const table = this.#table;
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      const block = table[2 * at + 1] ?? NONE;
      if (block === NONE) return NONE;
      if (table[2 * at] !== hash || this.#doubles[block * this.#doublesEach + PARENT] !== parent)
        continue;
      if (this.#holds(block, tokens)) return block;
    }
  }

  /** Makes a block that somebody holds findable under its tokens. */
  add(block: number, hash: number, parent: number, tokens: Int32Array, step: number): void {
    this.#doubles[block * this.#doublesEach + SERIAL] = ++this.#lastSerial;
    this.#doubles[block * this.#doublesEach + PARENT] = parent;
    this.#doubles[block * this.#doublesEach + ADDED_AFTER] = step;
    this.#words[block * this.#wordsEach + HASH] = hash;
    const start = block * this.#wordsEach + TOKENS;
    for (let index = 0; index < this.#blockSize; index++) {
      this.#words[start + index] = tokens[index] ?? -1;
    }
    const table = this.#table;
    let at = hash & this.#mask;
    while (table[2 * at + 1] !== NONE) at = (at + 1) & this.#mask;
    table[2 * at] = hash;
    table[2 * at + 1] = block;
  }

  /** Nobody holds the block any more. */
  retire(block: number): void {
    this.#words[block * this.#wordsEach + OLDER] = this.#newest;
    this.#words[block * this.#wordsEach + NEWER] = NONE;
    if (this.#newest === NONE) this.#oldest = block;
    else this.#words[this.#newest * this.#wordsEach + NEWER] = block;
    this.#newest = block;
    this.#numIdle++;
  }

  /** Somebody holds the block again. */
  revive(block: number): void {
    const older = this.#words[block * this.#wordsEach + OLDER] ?? NONE;
    const newer = this.#words[block * this.#wordsEach + NEWER] ?? NONE;
    if (older === NONE) this.#oldest = newer;
    else this.#words[older * this.#wordsEach + NEWER] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#words[newer * this.#wordsEach + OLDER] = older;
    this.#numIdle--;
  }

  /**
   * Forgets the block that was unused for longest and gives it out; -1 without one. Whoever holds a
   * block holds those before it, and lets go of them last: what follows it was forgotten earlier.
   */
  evict(): number {
    const block = this.#oldest;
    if (block === NONE) return NONE;
    this.revive(block);
    this.remove(block);
    return block;
  }

  /** Forgets what a block holds. One that nobody holds is to be revived before. */
  remove(block: number): void {
    const table = this.#table;
    const mask = this.#mask;
    this.#doubles[block * this.#doublesEach + SERIAL] = 0;
    let hole = (this.#words[block * this.#wordsEach + HASH] ?? 0) & mask;
    while (table[2 * hole + 1] !== block) hole = (hole + 1) & mask;
    // Moves up what probing would no longer reach behind the hole.
    for (let at = (hole + 1) & mask; table[2 * at + 1] !== NONE; at = (at + 1) & mask) {
      const hash = table[2 * at] ?? 0;
      if (((at - (hash & mask)) & mask) < ((at - hole) & mask)) continue;
      table[2 * hole] = hash;
      table[2 * hole + 1] = table[2 * at + 1] ?? NONE;
      hole = at;
    }
    table[2 * hole + 1] = NONE;
  }

  /** Whether the block was added when the step had been planned. */
  wasAddedSince(block: number, step: number): boolean {
    const addedAfter = this.#doubles[block * this.#doublesEach + ADDED_AFTER] ?? 0;
    return this.serialOf(block) !== 0 && addedAfter >= step;
  }

  #holds(block: number, tokens: Int32Array): boolean {
    const start = block * this.#wordsEach + TOKENS;
    for (let index = 0; index < this.#blockSize; index++) {
      if (tokens[index] !== this.#words[start + index]) return false;
    }
    return true;
  }
}
