// Frames with bytes changed: through the decoder of both sides, into a scheduler process, and from
// a program that speaks in a scheduler process's place. A message may be refused with ERR_PROTOCOL;
// a process may end; a call must settle; nothing may hang or leave a process behind.
// Usage: frames.js SECONDS SEED

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Engine, PermafrostError } from '../../dist/index.js';
import { encodeFrame, FrameReader } from '../../dist/protocol/codec.js';
import { takeEngineOptions } from '../../dist/protocol/options.js';
import { SCHEDULER_MARKER } from '../../dist/protocol/scheduler-marker.js';
import { VERSION } from '../../dist/protocol/version.js';
import { Random } from './random.js';

const SCHEDULER = fileURLToPath(new URL('../../dist/scheduler/main.js', import.meta.url));
const PEER = fileURLToPath(new URL('peer.js', import.meta.url));
const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));
/** What takes longer hangs. */
const PEER_SECONDS = 30;
/** How long a scheduler process is left to what it has heard. */
const DISTURBED_MS = 200;
/** Decoding one chunk takes microseconds. */
const MAX_DECODE_MS = 2000;

const seconds = Number(process.argv[2]);
const random = new Random(Number(process.argv[3]));

const params = { maxTokens: 4, temperature: 0.5, seed: 7, stop: ['a'], logitBias: { 5: 1.5 } };
const request = {
  key: 1,
  prompt: Int32Array.of(1, 2, 3),
  params,
  deadlineAtMs: null,
  stream: true,
  sizeBytes: 10,
  resume: { choices: [{ tokenIds: [1], textLength: 2, finishReason: null }], losses: 1 },
};
const error = { code: 'ERR_DEVICE', message: 'it failed' };
const MESSAGES = [
  { kind: 'hello', version: VERSION },
  { kind: 'submit', requests: [request, { ...request, key: 2, prompt: 'text' }] },
  {
    kind: 'submit',
    requests: [{ ...request, prompt: { messages: [{ role: 'user', content: '' }] } }],
  },
  { kind: 'abort', keys: [1, 2, 3] },
  { kind: 'metrics', queryId: 3 },
  { kind: 'ping' },
  { kind: 'close' },
  { kind: 'warning', message: 'it is slow', code: 'PERMAFROST_WARNING' },
  { kind: 'device', event: { kind: 'phase', device: 'cpu:0', phase: 'weights' } },
  { kind: 'metrics', queryId: 0, snapshot: { devices: [{ device: 'cpu:0', numRunning: 1 }] } },
  {
    kind: 'chunks',
    chunks: [{ key: 1, choice: 0, text: 'text', tokenIds: [1], finishReason: 'stop' }],
  },
  {
    kind: 'parts',
    parts: [
      {
        key: 1,
        choice: 0,
        piece: { text: 'a', tokenIds: Int32Array.of(5), logprobWords: Int32Array.of(0, 5, 0) },
      },
      {
        key: 1,
        names: {
          tokenIds: Int32Array.of(5),
          bytes: Uint8Array.of(97),
          ends: Int32Array.of(1),
          isSpecial: Uint8Array.of(0),
        },
      },
    ],
  },
  {
    kind: 'outcomes',
    outcomes: [
      { key: 1, error },
      {
        key: 2,
        choices: [{ text: 'é', tokenIds: Int32Array.of(5), finishReason: 'length' }],
        usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 1 },
      },
    ],
  },
  { kind: 'failed', error, lost: { device: 'cpu:0', hasFinished: true, keys: [1] } },
  { kind: 'started', keys: [1, 2] },
  { kind: 'pong' },
  { kind: 'closed' },
  { kind: 'step', words: Int32Array.of(1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
];
/** What makes an engine of a scheduler process. */
const START = encodeFrame({
  kind: 'start',
  config: takeEngineOptions({ model: MODEL, devices: ['cpu'], maxNumSeqs: 4 }, {}).config,
  requestedAtMs: 0,
  isRestart: false,
});
const FRAMES = MESSAGES.map((message) => Buffer.from(encodeFrame(message)));

/** Bytes that mean something to msgpack or to lengths. */
const ODD_BYTES = [
  0, 1, 0x7f, 0x80, 0x8f, 0x90, 0xc1, 0xc4, 0xc7, 0xc9, 0xd4, 0xd8, 0xdd, 0xdf, 0xff,
];

function mutated(frame) {
  let bytes = Buffer.from(frame);
  for (let count = 1 + random.below(6); count > 0; count--) {
    const at = random.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + random.below(8));
    const kind = random.below(6);
    if (kind === 0 && at < bytes.length) bytes[at] ^= 1 << random.below(8);
    else if (kind === 1 && at < bytes.length) bytes[at] = random.pick(ODD_BYTES);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    else if (kind === 3) {
      const other = random.pick(FRAMES);
      const from = random.below(other.length);
      const piece = other.subarray(from, from + random.below(40));
      bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    } else if (kind === 4) bytes = bytes.subarray(0, at);
    // What is inside changes more often than the length before it is wrong.
    else if (bytes.length >= 4) bytes.writeUInt32LE(Math.max(0, bytes.length - 4), 0);
    if (bytes.length === 0) bytes = Buffer.from([random.pick(ODD_BYTES)]);
  }
  if (random.chance(0.8) && bytes.length >= 4) bytes.writeUInt32LE(bytes.length - 4, 0);
  return bytes;
}

/** Frames, mostly whole ones, as one stream. */
const stream = (count) =>
  Buffer.concat(
    Array.from({ length: count }, () =>
      random.chance(0.5) ? random.pick(FRAMES) : mutated(random.pick(FRAMES)),
    ),
  );

function finding(what, bytes) {
  console.error(`FINDING: ${what}`);
  console.error(`bytes: ${bytes.toString('hex')}`);
  process.exit(1);
}

function decode(bytes) {
  const reader = new FrameReader();
  const started = process.hrtime.bigint();
  try {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + random.below(bytes.length));
      reader.push(bytes.subarray(at, end), () => {});
      at = end;
    }
  } catch (failure) {
    const isRefusal = failure instanceof PermafrostError && failure.code === 'ERR_PROTOCOL';
    if (!isRefusal) finding(`the decoder threw ${failure?.stack ?? failure}`, bytes);
  }
  const tookMs = Number(process.hrtime.bigint() - started) / 1e6;
  if (tookMs > MAX_DECODE_MS) finding(`decoding took ${tookMs} ms`, bytes);
}

/** Whether a process ends in time once its socket has closed. */
function endsAfter(child, act) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(false);
    }, PEER_SECONDS * 1000);
    child.on('exit', () => {
      clearTimeout(timer);
      resolve(true);
    });
    act();
  });
}

/** A scheduler process, mostly with an engine, that hears frames: it may end, and must when told to. */
async function disturbScheduler() {
  const child = spawn(process.execPath, [SCHEDULER], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, [SCHEDULER_MARKER]: '1' },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const socket = child.stdio[3];
  socket.on('error', () => {}); // It is gone: that is what may happen.
  const bytes = stream(20);
  const hasEnded = await endsAfter(child, () => {
    const disturb = () => {
      socket.write(bytes);
      setTimeout(() => socket.end(), DISTURBED_MS);
    };
    // It writes in frames, whatever it hears.
    const reader = new FrameReader();
    socket.on('data', (chunk) => {
      reader.push(chunk, ({ kind }) => {
        if (kind === 'ready') disturb();
      });
    });
    if (random.chance(0.7)) socket.write(START);
    else disturb();
  });
  if (!hasEnded) finding('a scheduler process outlived its socket', bytes);
  if (/(Segmentation|heap out of memory|FATAL ERROR)/.test(stderr)) finding(stderr, bytes);
}

function within(promise, what, bytes) {
  const timer = setTimeout(() => finding(`${what} did not settle`, bytes), PEER_SECONDS * 1000);
  return promise
    .catch((failure) => {
      if (!(failure instanceof PermafrostError)) finding(`${what}: ${failure?.stack}`, bytes);
    })
    .finally(() => clearTimeout(timer));
}

/** An engine whose scheduler process answers with changed frames: its calls settle all the same. */
async function disturbHost() {
  const bytes = stream(6);
  writeFileSync(ANSWER, bytes);
  const options = { model: MODEL, devices: ['cpu'], nodePath: FAKE_NODE, maxRestarts: 0 };
  const engine = await Engine.start(options);
  const calls = [engine.generate([1, 2, 3]), engine.generate([4], { n: 2 }), engine.metrics()];
  const streaming = (async () => {
    for await (const _ of engine.stream([5, 6]));
  })();
  await within(
    Promise.all([...calls, streaming].map((call) => call.catch(mustBeOurs))),
    'a call',
    bytes,
  );
  await within(engine.close(), 'close()', bytes);
}

function mustBeOurs(failure) {
  if (!(failure instanceof PermafrostError)) throw failure;
}

const folder = mkdtempSync(join(tmpdir(), 'permafrost-frames-'));
const ANSWER = join(folder, 'answer');
const FAKE_NODE = join(folder, 'node');
process.env.PERMAFROST_FUZZ_BYTES = ANSWER;
process.on('exit', () => rmSync(folder, { recursive: true }));
// Asked what it is, it is a Node; asked to run the scheduler, it runs something else.
writeFileSync(
  FAKE_NODE,
  `#!/bin/sh\ncase "$1" in -*) exec '${process.execPath}' "$@";; esac\nexec '${process.execPath}' '${PEER}'\n`,
  { mode: 0o755 },
);

let numFrames = 0;
let numProcesses = 0;
const endMs = performance.now() + seconds * 1000;
while (performance.now() < endMs) {
  for (let i = 0; i < 2000; i++) {
    const count = 1 + random.below(3);
    decode(stream(count));
    numFrames += count;
  }
  await disturbScheduler();
  await disturbHost();
  numFrames += 26;
  numProcesses += 2;
}
console.log(`${numFrames} frames, ${numProcesses} processes`);
