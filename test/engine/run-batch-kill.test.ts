import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { randomNumbers } from '../unit/jobs/batch-files.js';
import {
  type BatchCommand,
  completeBytes,
  idsOf,
  longLines,
  readRows,
  startBatch,
  temporaryFolder,
  waitForBytes,
} from './batch-command.js';

const NUM_KILLS = 30;
const NUM_ROWS = 2000;
const SEED = 20_261_123;

const numLines = (bytes: Buffer) => bytes.filter((byte) => byte === 0x0a).length;

/** A job with good rows, and at its middle a bad one and a duplicate. */
function input(): string {
  // Long rows: a kill has a chance to cut one.
  const rows = longLines(NUM_ROWS, { max_tokens: 12, logprobs: 5 }).trimEnd().split('\n');
  const middle = rows.length / 2;
  return [...rows.slice(0, middle), 'oops', rows[0], ...rows.slice(middle)].join('\n');
}

/** Every row is there exactly once, and only those that were not kept have been computed. */
function expectFinished(output: string, kept: Buffer, command: BatchCommand): void {
  const numKept = numLines(kept);
  const summary = JSON.parse(command.stdout().toString());
  expect(summary).toMatchObject({ total: NUM_ROWS + 2, skipped: numKept, unfinished: 0 });
  expect(summary.succeeded + summary.failed).toBe(NUM_ROWS + 2 - numKept);
  expect(summary.completionTokens).toBe(12 * summary.succeeded);
  expect(readFileSync(output).subarray(0, kept.length).equals(kept)).toBe(true);

  const rows = readRows(output);
  const done = idsOf(rows.filter(({ error }) => error === null));
  expect(done).toHaveLength(NUM_ROWS);
  expect(new Set(done).size).toBe(NUM_ROWS);
  const errors = rows.flatMap(({ error }) => (error === null ? [] : [[error.line, error.code]]));
  expect(errors.sort()).toEqual([
    [NUM_ROWS / 2 + 1, 'ERR_BAD_LINE'],
    [NUM_ROWS / 2 + 2, 'ERR_DUPLICATE_ID'],
  ]);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(NUM_ROWS + 2);
}

test(`a job that is killed at ${NUM_KILLS} random moments is finished by resuming it`, {
  timeout: 900_000,
}, async () => {
  const folder = temporaryFolder();
  const [from, to] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
  writeFileSync(from, input());
  const args = ['-i', from, '-o', to, '--resume', '--json'];
  const random = randomNumbers(SEED);

  const startedAtMs = performance.now();
  const first = startBatch(args);
  await waitForBytes(to, 1, first);
  const startMs = performance.now() - startedAtMs;
  first.child.kill('SIGKILL');
  await first.ended;

  let kept = completeBytes(to);
  let numCut = 0;
  let numFinished = 1;
  for (let kill = 1; kill < NUM_KILLS; kill++) {
    const command = startBatch(args);
    // A third of the kills come while it starts and reads the output, the others while rows come.
    const isEarly = random() < 1 / 3;
    if (!isEarly) await waitForBytes(to, kept.length + 1, command);
    await Promise.race([sleep(random() * (isEarly ? startMs : startMs / 3)), command.ended]);
    command.child.kill('SIGKILL');
    const end = await command.ended;
    const now = completeBytes(to);
    // Nothing finished is lost, moved or changed.
    expect(now.subarray(0, kept.length).equals(kept), `kill ${kill}, seed ${SEED}`).toBe(true);
    if (end !== 'SIGKILL') {
      // Done before all kills: the next ones get a job of their own.
      expectFinished(to, kept, command);
      rmSync(to);
      numFinished++;
      kept = Buffer.alloc(0);
      continue;
    }
    kept = now;
    if (random() < 1 / 2) {
      // A kill seldom meets a write: its half-written line is made here.
      const size = readFileSync(to).length;
      truncateSync(to, Math.max(0, size - 1 - Math.floor(random() * 2000)));
      kept = completeBytes(to);
      numCut++;
    }
  }

  const last = startBatch(args);
  expect(await last.ended).toBe(1);
  expectFinished(to, kept, last);
  console.log(`${numFinished} jobs finished over ${NUM_KILLS} kills, ${numCut} with a line cut`);
});
