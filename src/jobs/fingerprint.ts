/** 128 bits that stand for a string. */

import { randomBytes } from 'node:crypto';

/**
 * Hashes strings: MurmurHash3 (x86, 128 bits; Austin Appleby, public domain) over their UTF-16 code
 * units, from a random seed, so that nobody can write strings that are taken for each other. Among a
 * billion strings the chance that two are is about 10⁻²⁰. A cryptographic hash would take ten times
 * as long, mostly for making its object.
 */
export class Fingerprinter {
  /** [4]: the fingerprint that {@link Fingerprinter.hash} has made last. */
  readonly print = new Uint32Array(4);
  readonly #seed: Uint32Array;

  constructor(seed: Uint32Array = randomSeed()) {
    this.#seed = seed;
  }

  /** Puts a string's fingerprint into {@link Fingerprinter.print}. */
  hash(text: string): void {
    let [h1 = 0, h2 = 0, h3 = 0, h4 = 0] = this.#seed;
    // A block has four words of two code units; the last one is filled up with zeros, which the
    // length tells apart from units that are zero.
    for (let at = 0; at < text.length; at += 8) {
      h1 ^= Math.imul(rotate(Math.imul(wordAt(text, at), C1), 15), C2);
      h1 = (Math.imul(rotate(h1, 19) + h2, 5) + 0x561ccd1b) | 0;
      h2 ^= Math.imul(rotate(Math.imul(wordAt(text, at + 2), C2), 16), C3);
      h2 = (Math.imul(rotate(h2, 17) + h3, 5) + 0x0bcaa747) | 0;
      h3 ^= Math.imul(rotate(Math.imul(wordAt(text, at + 4), C3), 17), C4);
      h3 = (Math.imul(rotate(h3, 15) + h4, 5) + 0x96cd1c35) | 0;
      h4 ^= Math.imul(rotate(Math.imul(wordAt(text, at + 6), C4), 18), C1);
      h4 = (Math.imul(rotate(h4, 13) + h1, 5) + 0x32ac3b17) | 0;
    }
    h1 ^= text.length;
    h2 ^= text.length;
    h3 ^= text.length;
    h4 ^= text.length;
    h1 = (h1 + h2 + h3 + h4) | 0;
    h2 = mix(h2 + h1);
    h3 = mix(h3 + h1);
    h4 = mix(h4 + h1);
    h1 = mix(h1);
    h1 = (h1 + h2 + h3 + h4) | 0;
    this.print[0] = h1;
    this.print[1] = h2 + h1;
    this.print[2] = h3 + h1;
    this.print[3] = h4 + h1;
  }
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

function randomSeed(): Uint32Array {
  const bytes = randomBytes(16);
  return Uint32Array.from({ length: 4 }, (_, word) => bytes.readUInt32LE(4 * word));
}

/** Two code units; zero beyond the end. */
function wordAt(text: string, at: number): number {
  if (at + 1 < text.length) return text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16);
  return at < text.length ? text.charCodeAt(at) : 0;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** Every bit of the word changes every bit of the result with a chance of one half. */
function mix(word: number): number {
  let mixed = word | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
