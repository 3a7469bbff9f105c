import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeUtf8, unfinishedLength } from '../../../src/text/utf8.js';

const runs = { seed: 20_250_119, numRuns: 3000 };

/** Bytes that are mostly parts of sequences: leads, continuations, and the limits of the ranges. */
const byte = fc.oneof(
  fc.constantFrom(0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf),
  fc.constantFrom(
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
    0xec,
    0xed,
    0xef,
    0xf0,
    0xf1,
    0xf4,
    0xf5,
    0xff,
  ),
  fc.nat({ max: 255 }),
);

test('bytes cut where a sequence is unfinished decode as the whole does', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 8 }), fc.array(byte), (head, tail) => {
    const bytes = Uint8Array.from([...head, ...tail]);
    const cut = bytes.length - unfinishedLength(bytes);
    const joined = decodeUtf8(bytes.subarray(0, cut)) + decodeUtf8(bytes.subarray(cut));
    expect(joined).toBe(decodeUtf8(bytes));
  });
  fc.assert(property, runs);
});

test('what is held is exactly what some continuation could complete', () => {
  // A streaming decoder gives out nothing for bytes that it still waits for.
  const property = fc.property(fc.array(byte, { maxLength: 6 }), (values) => {
    const bytes = Uint8Array.from(values);
    const streaming = new TextDecoder('utf-8', { ignoreBOM: true });
    const certain = streaming.decode(bytes, { stream: true });
    expect(decodeUtf8(bytes.subarray(0, bytes.length - unfinishedLength(bytes)))).toBe(certain);
  });
  fc.assert(property, runs);
});

test('a byte order mark is a character like others', () => {
  expect(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))).toBe('\ufeffA');
});
