// Random calls of the public API against an engine that runs the small model: arguments of every
// kind, right and wrong. A call settles in time, with a result or a PermafrostError that blames the
// caller; the engine never restarts, and gives its answer to a known prompt after all of it.
// Usage: api.js SECONDS SEED

import { fileURLToPath } from 'node:url';
import { Engine, PermafrostError } from '../../dist/index.js';
import { Random } from './random.js';

const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));
/** What takes longer hangs. */
const CALL_SECONDS = 40;
const CALLS_AT_ONCE = 8;
/** No argument, however wrong, may bring these about. */
const FAULTS = new Set([
  'ERR_INTERNAL',
  'ERR_PROTOCOL',
  'ERR_DEVICE',
  'ERR_DEVICE_LOST',
  'ERR_POISONED',
  'ERR_NATIVE_ADDON',
]);
const KNOWN = { prompt: '17+25=', params: { temperature: 0, maxTokens: 12 } };

const seconds = Number(process.argv[2]);
const random = new Random(Number(process.argv[3]));

class OfTheCaller extends Error {}

const throws = () => {
  throw new OfTheCaller('a getter of the caller');
};
const cyclic = { prompt: 'a' };
cyclic.params = cyclic;

/** Values that some argument somewhere is not made for. */
const ODD = [
  ...[undefined, null, true, false, 0, -0, 1, -1, 0.5, 2 ** 31, 2 ** 32 + 1, 2 ** 53, 1e300],
  ...[Number.NaN, Number.POSITIVE_INFINITY, 10n, Symbol('odd'), '', ' ', 'a', '\ud800', '\0'],
  ...['x'.repeat(100_000), 'é'.repeat(3000), [], {}, [[]], [null], [1, 2, 3], [-1], [512], [1.5]],
  ...[new Array(10_000), new Map(), new Set([1]), new Date(0), /a/, () => 1, async () => 1, cyclic],
  ...[
    Object.create(null),
    new Proxy({}, {}),
    Promise.resolve(1),
    new Int32Array(3),
    Buffer.alloc(3),
  ],
  ...[
    new Uint8Array(2),
    new Float32Array([1.5]),
    new Error('odd'),
    {
      get x() {
        return throws();
      },
    },
  ],
  ...[
    { length: 2 ** 40 },
    { [Symbol.iterator]: throws },
    { toJSON: throws },
    new AbortController().signal,
  ],
];

const integer = (end) => () => random.below(end);
const number = (low, high) => () => low + random.next() * (high - low);

/** What each sampling parameter is made for. */
const PARAMS = {
  maxTokens: () => 1 + random.below(12),
  minTokens: integer(4),
  temperature: number(0, 2),
  topP: number(0.01, 1),
  topK: integer(600),
  minP: number(0, 1),
  presencePenalty: number(-2, 2),
  frequencyPenalty: number(-2, 2),
  repetitionPenalty: number(0.01, 2),
  seed: integer(1e9),
  stop: () => random.pick(['a', ['7', '='], []]),
  stopTokenIds: () => [random.below(512)],
  ignoreEos: () => random.chance(0.5),
  logprobs: integer(5),
  logitBias: () => ({ [random.below(512)]: random.next() * 10 }),
  n: () => 1 + random.below(3),
  responseFormat: () =>
    random.pick([
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', schema: { type: 'integer', minimum: 0, maximum: 9 } },
      { type: 'json_schema', schema: { enum: ['a', 'b'] } },
      { type: 'json_schema', schema: { $ref: '#/nowhere' } },
    ]),
};

const odd = () => random.pick(ODD);
const mostly = (make) => (random.chance(0.9) ? make() : odd());

function params() {
  if (random.chance(0.05)) return odd();
  const result = {};
  for (const [name, make] of Object.entries(PARAMS)) {
    if (random.chance(0.2)) result[name] = mostly(make);
  }
  result.maxTokens ??= 8;
  if (random.chance(0.03)) result[random.pick(['maxtokens', '__proto__', 'max_tokens'])] = odd();
  return result;
}

function prompt() {
  return mostly(() =>
    random.pick([
      '17+25=',
      'sort 3 1 2 =',
      [1, 2, 3],
      Array.from({ length: random.below(40) + 1 }, () => random.below(520)),
      { messages: [{ role: 'user', content: 'hello' }] },
      { messages: [{ role: odd(), content: odd() }] },
      { messages: odd() },
    ]),
  );
}

function signal() {
  const controller = new AbortController();
  if (random.chance(0.3)) controller.abort();
  else setTimeout(() => controller.abort(), random.below(100));
  return controller.signal;
}

function request() {
  if (random.chance(0.05)) return odd();
  const result = { prompt: prompt() };
  if (random.chance(0.7)) result.params = params();
  if (random.chance(0.2)) result.id = mostly(() => `id-${random.below(9)}`);
  if (random.chance(0.2)) result.priority = mostly(integer(5));
  if (random.chance(0.2)) result.deadlineMs = mostly(integer(300));
  if (random.chance(0.2)) result.signal = mostly(signal);
  return result;
}

/** What `generate` and `stream` take. */
function callArguments() {
  const asked = request();
  const isWhole = typeof asked === 'object' && asked !== null && Object.hasOwn(asked, 'prompt');
  if (!isWhole || random.chance(0.1)) return [asked, odd()];
  const { prompt: given, params: sampling, ...rest } = asked;
  const isPlain = typeof sampling === 'object' && sampling !== null;
  if (!isPlain) return [given, sampling ?? rest];
  // Getters stay getters.
  const parts = [sampling, rest].map(Object.getOwnPropertyDescriptors);
  return [given, Object.defineProperties({}, { ...parts[0], ...parts[1] })];
}

async function* requests(count) {
  for (let i = 0; i < count; i++) yield request();
}

async function readAll(iterable) {
  // Some readers leave early.
  const most = random.chance(0.2) ? random.below(3) : Number.POSITIVE_INFINITY;
  let count = 0;
  for await (const _ of iterable) if (++count > most) break;
  return count;
}

/** Each makes its arguments at once, and gives what can be written about them. */
const CALLS = {
  generate(engine) {
    const args = callArguments();
    return { args, run: () => engine.generate(...args) };
  },
  stream(engine) {
    const args = callArguments();
    return { args, run: () => readAll(engine.stream(...args)) };
  },
  batch(engine) {
    const list = Array.from({ length: random.below(6) }, request);
    const input = random.pick([list, list, requests(4), odd()]);
    const options = random.chance(0.3)
      ? [mostly(() => ({ maxInflight: mostly(() => 1 + random.below(4)) }))]
      : [];
    return { args: [input, ...options], run: () => readAll(engine.batch(input, ...options)) };
  },
  metrics: (engine) => ({ args: [], run: () => engine.metrics() }),
};

function shown(value) {
  try {
    return JSON.stringify(value, (_, part) =>
      typeof part === 'bigint' ? `${part}n` : part,
    )?.slice(0, 2000);
  } catch {
    return String(Object.prototype.toString.call(value));
  }
}

function finding(what, call) {
  console.error(`FINDING: ${what}`);
  if (call !== undefined) console.error(`${call.name}(${call.args.map(shown).join(', ')})`);
  process.exit(1);
}

/** Errors of the caller's own objects are the caller's. */
const isProper = (error) =>
  error instanceof OfTheCaller ||
  error?.cause instanceof OfTheCaller ||
  (error instanceof PermafrostError && !FAULTS.has(error.code));

let numRefused = 0;
async function settle(call) {
  const timer = setTimeout(() => finding('a call did not settle', call), CALL_SECONDS * 1000);
  try {
    await call.run();
  } catch (error) {
    numRefused++;
    if (!isProper(error)) finding(`a call ended with ${error?.stack ?? String(error)}`, call);
  } finally {
    clearTimeout(timer);
  }
}

const engine = await Engine.start({ model: MODEL, devices: ['cpu'], maxNumSeqs: 8 });
engine.on('restart', (event) => finding(`the engine restarted: ${shown(event)}`, lastCall));
process.on('unhandledRejection', (error) => finding(`unhandled: ${error?.stack}`, lastCall));
process.on('uncaughtException', (error) => finding(`uncaught: ${error?.stack}`, lastCall));
const expected = (await engine.generate(KNOWN.prompt, KNOWN.params)).text;

let lastCall;
let numCalls = 0;
const endMs = performance.now() + seconds * 1000;
async function callOn() {
  while (performance.now() < endMs) {
    const name = random.pick(['generate', 'generate', 'stream', 'batch', 'metrics']);
    const call = { name, ...CALLS[name](engine) };
    lastCall = call;
    numCalls++;
    await settle(call);
  }
}
await Promise.all(Array.from({ length: CALLS_AT_ONCE }, callOn));

const { text } = await engine.generate(KNOWN.prompt, KNOWN.params);
if (text !== expected) finding(`the engine answers '${text}', not '${expected}'`, lastCall);
await engine.close();
console.log(`${numCalls} calls, ${numRefused} refused`);
