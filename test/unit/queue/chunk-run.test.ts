import { expect, test } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import type { ChunkRow } from '../../../src/queue/chunk.js';
import { decodeResults } from '../../../src/queue/chunk.js';
import { ChunkRun } from '../../../src/queue/chunk-run.js';
import { FakeEngine, requestLine } from '../jobs/batch-files.js';

const ROWS: readonly ChunkRow[] = [
  { line: 3, text: requestLine('a') },
  { line: 4, text: 'oops' },
  { line: 6, customId: 'a', error: { code: 'ERR_DUPLICATE_ID', message: 'again' } },
  { line: 7, text: requestLine('b') },
];

function makeRun(
  engine: FakeEngine,
  changes: Partial<ConstructorParameters<typeof ChunkRun>[0]> = {},
) {
  return new ChunkRun({
    engine,
    origin: { model: 1, defaults: 2, version: 3 },
    rows: ROWS,
    kept: new Map(),
    priority: 0,
    onRow: () => {},
    ...changes,
  });
}

const signal = new AbortController().signal;

function errorsOf({ finished }: ChunkRun) {
  return [...finished].map(([line, text]) => [line, JSON.parse(text).error?.code ?? 'done']).sort();
}

test('every row of a chunk gets its answer or its error, with the line of the input', async () => {
  const run = makeRun(new FakeEngine());
  await run.run(signal);
  expect(run.isComplete).toBe(true);
  expect(errorsOf(run)).toEqual([
    [3, 'done'],
    [4, 'ERR_BAD_LINE'],
    [6, 'ERR_DUPLICATE_ID'],
    [7, 'done'],
  ]);
  expect(run.numFailed).toBe(2);
});

test('rows that an earlier worker has finished are not run again', async () => {
  const engine = new FakeEngine();
  const run = makeRun(engine, { kept: new Map([[3, '{"custom_id":"a","error":null}']]) });
  await run.run(signal);
  expect(engine.prompts).toEqual(['say b']);
  expect(run.isComplete).toBe(true);
});

test('a chunk is not complete when its engine ends, and says with what', async () => {
  const fail = (prompt: string) =>
    prompt === 'say b' ? new PermafrostError('ERR_DEVICE_LOST', 'gone') : undefined;
  const run = makeRun(new FakeEngine({ fail }));
  await run.run(signal);
  expect(run.isComplete).toBe(false);
  expect(run.engineError).toEqual({ code: 'ERR_DEVICE_LOST', message: 'gone' });
});

test('a row that fails by itself gets its error row, and the chunk is complete', async () => {
  const fail = () => new PermafrostError('ERR_PROMPT_TOO_LONG', 'too long');
  const run = makeRun(new FakeEngine({ fail }));
  await run.run(signal);
  expect(run.isComplete).toBe(true);
  expect(run.engineError).toBeNull();
});

test('rows that are not to be run get the error given, and those that are wrong their own', () => {
  const run = makeRun(new FakeEngine());
  run.failOthers({ code: 'ERR_POISONED', message: 'no' });
  expect(errorsOf(run)).toEqual([
    [3, 'ERR_POISONED'],
    [4, 'ERR_BAD_LINE'],
    [6, 'ERR_DUPLICATE_ID'],
    [7, 'ERR_POISONED'],
  ]);
});

test('a result for which there is no room loses its longest rows to error rows', async () => {
  const random = Array.from({ length: 3000 }, (_, at) =>
    String.fromCharCode(0x4e00 + ((at * 7919) % 20_000)),
  ).join('');
  const rows: ChunkRow[] = [
    { line: 1, text: requestLine('short') },
    { line: 2, text: requestLine('long', random) },
  ];
  const run = makeRun(new FakeEngine(), { rows });
  await run.run(signal);
  const packed = await run.pack(2000);
  expect(packed.length).toBeLessThanOrEqual(2000);
  const written = (await decodeResults(packed)).map((text) => JSON.parse(text));
  expect(written.map(({ custom_id, error }) => [custom_id, error?.code]).sort()).toEqual([
    ['long', 'ERR_QUEUE'],
    ['short', undefined],
  ]);
});
