import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Line, lineText, readLines } from '../../../src/jobs/line-reader.js';

const runs = { seed: 20_250_121, numRuns: 500 };
const encode = (text: string) => new TextEncoder().encode(text);

async function* inChunks(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const size of sizes) {
    yield bytes.subarray(start, start + size);
    start += size;
  }
  yield bytes.subarray(start);
}

async function linesOf(
  input: string | Uint8Array,
  { maxLineBytes = 1000, sizes = [] as readonly number[] } = {},
): Promise<Line[]> {
  const bytes = typeof input === 'string' ? encode(input) : input;
  return collect(readLines(inChunks(bytes, sizes), { maxLineBytes }));
}

async function collect(lines: AsyncIterable<Line>): Promise<Line[]> {
  const collected: Line[] = [];
  for await (const line of lines) collected.push(line);
  return collected;
}

const texts = (lines: readonly Line[]) => lines.map((line) => lineText(line, 1000));

describe('lines', () => {
  test('end at LF or CRLF, and the last needs no end', async () => {
    const lines = await linesOf('a\r\nb\nc');
    expect(texts(lines)).toEqual(['a', 'b', 'c']);
    expect(lines.map(({ isTerminated }) => isTerminated)).toEqual([true, true, false]);
  });

  test('that are blank are counted and not given', async () => {
    const lines = await linesOf('\n  \r\n\ta\n\n\nb\n \n');
    expect(texts(lines)).toEqual(['\ta', 'b']);
    expect(lines.map(({ number }) => number)).toEqual([3, 6]);
  });

  test('do not begin with the byte order mark of a file', async () => {
    expect(texts(await linesOf('\ufeffa\n\ufeffb'))).toEqual(['a', '\ufeffb']);
    expect(await linesOf('\ufeff')).toEqual([]);
    expect(await linesOf('\ufeff\r\n')).toEqual([]);
  });

  test('know where they end in the stream', async () => {
    const lines = await linesOf('\ufeffé\r\n\nb\nc');
    expect(lines.map(({ endOffset }) => endOffset)).toEqual([7, 10, 11]);
  });

  test('that are not UTF-8 are ERR_BAD_LINE, and the next is read', async () => {
    const lines = await linesOf(Uint8Array.of(0x22, 0xc3, 0x22, 0x0a, 0x61));
    expect(lines).toHaveLength(2);
    expect(() => texts(lines.slice(0, 1))).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_LINE' }),
    );
    expect(texts(lines.slice(1))).toEqual(['a']);
  });

  test('beyond the limit are ERR_BAD_LINE, and the next is read', async () => {
    const lines = await linesOf(`${'x'.repeat(10)}\r\n${'y'.repeat(11)}\nz`, { maxLineBytes: 10 });
    expect(lines.map(({ bytes }) => bytes?.length ?? null)).toEqual([10, null, 1]);
    const [, long = { bytes: null }] = lines;
    expect(() => lineText(long, 10)).toThrow(/longer than 10 bytes/);
  });

  test('beyond the limit are not kept in memory', async () => {
    const chunk = Buffer.alloc(1 << 20, 'x');
    async function* endless() {
      for (let index = 0; index < 500; index++) yield Buffer.from(chunk);
      yield encode('\nok');
    }
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    const watched = (async function* () {
      for await (const piece of endless()) {
        peak = Math.max(peak, process.memoryUsage().arrayBuffers);
        yield piece;
      }
    })();
    const lines = await collect(readLines(watched, { maxLineBytes: 1 << 21 }));
    expect(lines.map(({ bytes }) => bytes?.length ?? null)).toEqual([null, 2]);
    // Far below the line's 500 MB; what lies between is garbage not collected yet.
    expect(peak - before).toBeLessThan(200 << 20);
  });

  test('are the same however the stream was cut', async () => {
    const piece = fc.constantFrom('a', 'é', '😀', '\n', '\r\n', '\r', ' ', '\ufeff', 'xxxxxx');
    const input = fc.array(piece, { maxLength: 30 }).map((parts) => parts.join(''));
    const sizes = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 40 });
    const property = fc.asyncProperty(input, sizes, async (text, cut) => {
      const options = { maxLineBytes: 8 };
      const whole = await linesOf(text, options);
      expect(await linesOf(text, { ...options, sizes: cut })).toEqual(whole);
      const expected = text
        .replace(/^\ufeff/, '')
        .split('\n')
        .map((line) => line.replace(/\r$/, ''))
        .filter((line) => /[^ \t\v\f\r]/.test(line));
      const short = expected.filter((line) => encode(line).length <= 8);
      expect(whole).toHaveLength(expected.length);
      expect(whole.filter(({ bytes }) => bytes !== null).map((l) => lineText(l, 8))).toEqual(short);
    });
    await fc.assert(property, runs);
  });
});
