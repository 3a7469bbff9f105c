// Runs an engine for minutes: random requests, streams and batches, with schemas, deadlines and
// aborts; in the first half of the time its scheduler process and its workers are killed now and
// then. Ends with counts and with memory over time, and with 1 when a request was lost, answered
// twice or answered wrongly, or when memory grew in the second half.
//
//   npm run soak [-- --minutes N] [--seed N]
//
// Memory that kills free and fill again says nothing: growth is measured while nothing is killed.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Engine, PermafrostError } from '../../dist/index.js';
import { Random } from '../fuzz/random.js';
import { MemoryLog } from './memory-log.js';

const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));
/** A scheduler process whose workers can be told to exit or to throw. */
const DISTURBED = fileURLToPath(
  new URL('../../test/engine/disturbed/scheduler.mjs', import.meta.url),
);
const DEVICES = ['cpu:0', 'cpu:1'];
const CALLERS = 12;
const SAMPLE_EVERY_MS = 5000;
/** The mean time from one kill to the next. */
const KILL_EVERY_MS = 8000;
/** What has not settled so long after the last call began, or after close(), never will. */
const SETTLE_MS = 120_000;
/** How a request may end that was disturbed more often than the engine tries. */
const UNLUCKY = new Set(['ERR_POISONED']);

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes must be a number above 0, not '${values.minutes}'`);
  process.exit(2);
}
const random = new Random(Number(values.seed));

const startMs = performance.now();
const endMs = startMs + minutes * 60_000;
const calmMs = startMs + (minutes * 60_000) / 2;

const SCHEMAS = [
  { type: 'integer', minimum: 0, maximum: 99 },
  { enum: ['yes', 'no', 'maybe'] },
  {
    type: 'object',
    properties: { a: { type: 'boolean' } },
    required: ['a'],
    additionalProperties: false,
  },
  { type: 'array', items: { enum: [1, 2] }, maxItems: 3 },
];

const counts = {
  requests: 0,
  ok: 0,
  aborted: 0,
  expired: 0,
  unlucky: 0,
  kills: 0,
  workerKills: 0,
  restarts: 0,
};
const problems = [];
const problem = (what) => {
  if (problems.length < 20) problems.push(what);
};

/** Texts of requests whose answer is fixed by their prompt and seed, by what was asked. */
const answers = new Map();

/** A request, and whether it may be cut short. */
function makeRequest() {
  const index = counts.requests++;
  // Few enough that most are asked again.
  const params = { maxTokens: random.pick([4, 12, 27]) };
  if (random.chance(0.4)) Object.assign(params, { temperature: 1, seed: random.below(4) });
  else params.temperature = 0;
  if (random.chance(0.1)) params.n = 2;
  if (random.chance(0.1)) params.logprobs = 2;
  if (random.chance(0.15)) {
    params.responseFormat = { type: 'json_schema', schema: random.pick(SCHEMAS) };
  } else if (random.chance(0.1)) params.stop = '7';
  const request = { id: `r${index}`, prompt: `${random.below(6)}+${random.below(6)}=`, params };
  const isCut = random.chance(0.2);
  if (isCut && random.chance(0.5)) request.deadlineMs = random.below(200);
  else if (isCut) {
    const controller = new AbortController();
    request.signal = controller.signal;
    if (random.chance(0.2)) controller.abort();
    else setTimeout(() => controller.abort(), random.below(200));
  }
  return { request, isCut };
}

function takeCompletion({ request, isCut }, choices) {
  const reasons = choices.map(({ finishReason }) => finishReason);
  if (reasons.includes('abort') || reasons.includes('deadline')) {
    if (!isCut) problem(`${request.id} was cut short: ${reasons}`);
    if (reasons.includes('abort')) counts.aborted++;
    else counts.expired++;
    return;
  }
  counts.ok++;
  const key = JSON.stringify([request.prompt, request.params]);
  const text = JSON.stringify(choices.map((choice) => [choice.text, choice.finishReason]));
  const known = answers.get(key);
  if (known === undefined) answers.set(key, text);
  else if (known !== text) problem(`${request.id}: ${key} gave ${text}, earlier ${known}`);
}

function takeError({ request, isCut }, error) {
  if (error instanceof PermafrostError && UNLUCKY.has(error.code)) counts.unlucky++;
  else if (isCut && error instanceof PermafrostError && error.code === 'ERR_ABORTED')
    counts.aborted++;
  else problem(`${request.id} failed: ${error?.code} ${error?.message ?? error}`);
}

/** A request as the calls for one take it. */
function argumentsOf({ request: { prompt, params, ...rest } }) {
  return [prompt, { ...params, ...rest }];
}

async function generate(engine) {
  const asked = makeRequest();
  try {
    takeCompletion(asked, (await engine.generate(...argumentsOf(asked))).choices);
  } catch (error) {
    takeError(asked, error);
  }
}

async function stream(engine) {
  const asked = makeRequest();
  asked.request.params.n = 1;
  let text = '';
  let finishReason = null;
  try {
    for await (const chunk of engine.stream(...argumentsOf(asked))) {
      if (finishReason !== null) problem(`${asked.request.id} went on after its end`);
      text += chunk.text;
      finishReason = chunk.finishReason ?? finishReason;
    }
    if (finishReason === null) problem(`${asked.request.id} ended without a reason`);
    else takeCompletion(asked, [{ text, finishReason }]);
  } catch (error) {
    takeError(asked, error);
  }
}

async function batch(engine) {
  const asked = Array.from({ length: 1 + random.below(20) }, makeRequest);
  const seen = new Set();
  for await (const row of engine.batch(asked.map(({ request }) => request))) {
    const mine = asked[row.index];
    if (seen.has(row.index)) problem(`${mine?.request.id} has two rows`);
    seen.add(row.index);
    if (row.id !== mine?.request.id) problem(`row ${row.index} is of ${row.id}`);
    else if ('error' in row) takeError(mine, row.error);
    else takeCompletion(mine, row.completion.choices);
  }
  for (const [index, { request }] of asked.entries()) {
    if (!seen.has(index)) problem(`${request.id} was lost`);
  }
}

const CALLS = [generate, generate, stream, stream, batch];
let numOpen = 0;

async function callOn(engine) {
  while (performance.now() < endMs && problems.length < 20) {
    numOpen++;
    await random
      .pick(CALLS)(engine)
      .catch((error) => problem(`a call failed: ${error?.stack}`));
    numOpen--;
    // Some answers are forgotten, so that this table is not what grows.
    if (answers.size > 2000) answers.clear();
  }
}

/** The scheduler process: the one child of this process. */
function schedulerPid() {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim();
  return children === '' ? null : Number(children.split(' ').at(-1));
}

async function killOn(order) {
  while (performance.now() < calmMs - KILL_EVERY_MS) {
    await delay(KILL_EVERY_MS * (0.5 + random.next()), undefined, { ref: false });
    const pid = schedulerPid();
    if (pid === null || performance.now() > calmMs) continue;
    if (random.chance(0.5)) {
      process.kill(pid, 'SIGKILL');
      counts.kills++;
    } else {
      writeFileSync(order, `${random.pick(['exit', 'throw'])} ${random.pick(DEVICES)}`);
      process.kill(pid, 'SIGUSR2');
      counts.workerKills++;
    }
  }
}

const folder = mkdtempSync(join(tmpdir(), 'permafrost-soak-'));
const order = join(folder, 'order');
const node = join(folder, 'node');
process.env.PERMAFROST_TEST_ORDER = order;
writeFileSync(
  node,
  `#!/bin/sh\ncase "$1" in -*) exec '${process.execPath}' "$@";; esac\nexec '${process.execPath}' '${DISTURBED}'\n`,
  { mode: 0o755 },
);

const engine = await Engine.start({
  model: MODEL,
  devices: DEVICES,
  maxNumSeqs: 8,
  maxRestarts: 100,
  nodePath: node,
});
engine.on('restart', () => {
  counts.restarts++;
});

const memory = new MemoryLog(startMs);
const sampling = setInterval(() => {
  memory.sample(schedulerPid());
}, SAMPLE_EVERY_MS);
const killing = killOn(order);
const calling = Promise.all(Array.from({ length: CALLERS }, () => callOn(engine)));
const isOver = calling.then(() => true);
const lateMs = endMs - performance.now() + SETTLE_MS;
if (!(await Promise.race([isOver, delay(lateMs, false, { ref: false })]))) {
  problem(`${numOpen} calls have not settled ${SETTLE_MS / 1000} s after the last one began`);
}
await killing;
clearInterval(sampling);
const isClosed = engine.close().then(() => true);
if (!(await Promise.race([isClosed, delay(SETTLE_MS, false, { ref: false })]))) {
  problem(`close() has not settled after ${SETTLE_MS / 1000} s`);
}
rmSync(folder, { recursive: true });
if (schedulerPid() !== null) problem('a process is left behind');

const settled = counts.ok + counts.aborted + counts.expired + counts.unlucky;
if (problems.length === 0 && settled !== counts.requests) {
  problem(`${counts.requests} requests, but ${settled} ends`);
}
if (counts.restarts < counts.kills) problem(`${counts.kills} kills, ${counts.restarts} restarts`);
problems.push(...memory.growth(calmMs));

console.log(memory.table());
console.log(`seed ${values.seed}, ${minutes} min: ${JSON.stringify(counts)}`);
for (const what of problems) console.log(`PROBLEM: ${what}`);
if (!memory.canTell(calmMs)) console.log('too short to tell whether memory grows: take 2 minutes');
console.log(problems.length === 0 ? 'ok' : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
