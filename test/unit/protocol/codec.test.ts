import { describe, expect, test } from 'vitest';
import {
  decodeMessage,
  encodeFrame,
  encodeMessage,
  FrameReader,
  MAX_FRAME_BYTES,
} from '../../../src/protocol/codec.js';

const message = { kind: 'submit', requests: [{ key: 7, prompt: 'größer 🦣', words: [1, 2, 3] }] };

function read(chunks: readonly Buffer[]): { messages: unknown[]; reader: FrameReader } {
  const reader = new FrameReader();
  const messages: unknown[] = [];
  for (const chunk of chunks) reader.push(chunk, (one) => messages.push(one));
  return { messages, reader };
}

describe('frames', () => {
  test('survive being split at every byte', () => {
    const frames = Buffer.concat([encodeFrame(message), encodeFrame({ kind: 'close' })]);
    for (let cut = 0; cut <= frames.length; cut++) {
      const { messages, reader } = read([frames.subarray(0, cut), frames.subarray(cut)]);
      expect(messages).toEqual([message, { kind: 'close' }]);
      expect(reader.pendingBytes).toBe(0);
    }
  });

  test('survive coming byte by byte', () => {
    const frame = encodeFrame(message);
    const bytes = Array.from(frame, (_, index) => frame.subarray(index, index + 1));
    expect(read(bytes).messages).toEqual([message]);
  });

  test('come out one by one when several arrive in one chunk', () => {
    const frames = [1, 2, 3].map((queryId) => encodeFrame({ kind: 'metrics', queryId }));
    expect(read([Buffer.concat(frames)]).messages).toEqual(
      [1, 2, 3].map((queryId) => ({ kind: 'metrics', queryId })),
    );
  });

  test('that claim too much are refused before they are waited for', () => {
    const header = Buffer.alloc(4);
    header.writeUInt32LE(MAX_FRAME_BYTES + 1);
    expect(() => read([header])).toThrow(expect.objectContaining({ code: 'ERR_PROTOCOL' }));
  });

  test('that are no msgpack are refused', () => {
    const frame = Buffer.from([2, 0, 0, 0, 0xc1, 0xc1]);
    expect(() => read([frame])).toThrow(expect.objectContaining({ code: 'ERR_PROTOCOL' }));
  });

  test('that have not arrived whole are pending', () => {
    const frame = encodeFrame(message);
    const { messages, reader } = read([frame.subarray(0, 9)]);
    expect(messages).toEqual([]);
    expect(reader.pendingBytes).toBe(9);
  });
});

describe('messages between threads', () => {
  test('keep an Int32Array one, in memory of their own', () => {
    const words = Int32Array.from([1, -2, 3]);
    const bytes = encodeMessage({ kind: 'step', words });
    expect(bytes.byteLength).toBe(bytes.buffer.byteLength);
    expect(decodeMessage(bytes)).toEqual({ kind: 'step', words });
  });
});
