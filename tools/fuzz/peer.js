// Speaks in a scheduler process's place: says who it is, is ready, and answers the first request
// with the bytes of the file that PERMAFROST_FUZZ_BYTES names. Then it ends.

import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { encodeFrame, FrameReader } from '../../dist/protocol/codec.js';
import { VERSION } from '../../dist/protocol/version.js';

const socket = new Socket({ fd: 3, readable: true, writable: true });
const reader = new FrameReader();
const report = { schema: 1, model: '', totalMs: 1, phases: [], devices: [], warnings: [] };

socket.on('error', () => process.exit());
socket.on('end', () => process.exit());
socket.on('data', (chunk) => {
  reader.push(chunk, ({ kind }) => {
    if (kind === 'start') socket.write(encodeFrame({ kind: 'ready', report }));
    if (kind === 'submit') {
      const bytes = readFileSync(process.env.PERMAFROST_FUZZ_BYTES ?? '');
      socket.write(bytes, () => socket.end(() => process.exit()));
    }
  });
});
socket.write(encodeFrame({ kind: 'hello', version: VERSION }));
