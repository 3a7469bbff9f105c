/**
 * Messages as bytes. The only user of msgpackr.
 *
 * Between processes a message is a frame: its length as a little-endian uint32, then msgpack.
 * Between threads it is the msgpack alone, one `Uint8Array` per message.
 */

import { addExtension, Packr } from 'msgpackr';
import { PermafrostError } from './errors.js';

// moreTypes keeps Int32Array an Int32Array; no shared record structures, since the two sides of a
// connection would have to agree on them.
// A caller's own field named toJSON is data.
const packr = new Packr({ moreTypes: true, useRecords: false, useToJSON: false });

/** The extension that msgpackr writes typed arrays as: which of these it is in the first byte. */
const TYPED_ARRAY_EXTENSION = 0x74;
const TYPED_ARRAYS = [
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
];

// In a VM context, as test runners make them, msgpackr may know the typed arrays of another realm
// only, and take ours for objects. Then it is told of ours, which it is to treat in the same way.
if (!ArrayBuffer.isView(packr.unpack(packr.pack(Int32Array.of(1))))) {
  addExtension({
    Class: Object.getPrototypeOf(Int32Array),
    type: TYPED_ARRAY_EXTENSION,
    pack: (array: Int32Array) =>
      Buffer.concat([
        Buffer.of(TYPED_ARRAYS.findIndex(({ name }) => name === array.constructor.name)),
        Buffer.from(array.buffer, array.byteOffset, array.byteLength),
      ]),
    unpack: (data: Uint8Array) => {
      const TypedArray = TYPED_ARRAYS[data[0] ?? -1] ?? Uint8Array;
      return new TypedArray(Uint8Array.prototype.slice.call(data, 1).buffer);
    },
  });
}

const LENGTH_BYTES = 4;
/** Longest payload accepted: far above any message, far below what a stray length would claim. */
export const MAX_FRAME_BYTES = 1 << 28;

/** A message for another thread. The result owns its memory: msgpackr's own slab must not travel. */
export function encodeMessage(message: unknown): Uint8Array {
  return Uint8Array.from(packr.pack(message));
}

/** The message that {@link encodeMessage} encoded. */
export function decodeMessage(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw new PermafrostError('ERR_PROTOCOL', 'a message is not msgpack', { cause });
  }
}

/** A message for another process: length and payload in one buffer. */
export function encodeFrame(message: unknown): Buffer {
  const payload = packr.pack(message);
  if (payload.length > MAX_FRAME_BYTES) {
    throw new PermafrostError(
      'ERR_PROTOCOL',
      `a message of ${payload.length} bytes exceeds the frame limit of ${MAX_FRAME_BYTES}`,
    );
  }
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  payload.copy(frame, LENGTH_BYTES);
  return frame;
}

/** Cuts a byte stream into messages, whatever its chunks. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #available = 0;

  /**
   * Takes the next bytes and calls `onMessage` for every message they complete.
   * @throws ERR_PROTOCOL when the bytes are not frames; the stream is useless from then on.
   */
  push(chunk: Buffer, onMessage: (message: unknown) => void): void {
    this.#chunks.push(chunk);
    this.#available += chunk.length;
    while (this.#available >= LENGTH_BYTES) {
      const length = this.#gather(LENGTH_BYTES).readUInt32LE(0);
      if (length > MAX_FRAME_BYTES) {
        throw new PermafrostError('ERR_PROTOCOL', `a frame claims ${length} bytes`);
      }
      if (this.#available < LENGTH_BYTES + length) return;
      const frame = this.#gather(LENGTH_BYTES + length);
      const [head] = this.#chunks;
      if (head === undefined) throw new PermafrostError('ERR_INTERNAL', 'no bytes to read');
      const rest = head.subarray(LENGTH_BYTES + length);
      if (rest.length > 0) this.#chunks[0] = rest;
      else this.#chunks.shift();
      this.#available -= LENGTH_BYTES + length;
      onMessage(decodeMessage(frame.subarray(LENGTH_BYTES, LENGTH_BYTES + length)));
    }
  }

  /** Bytes of a message that has not arrived whole. */
  get pendingBytes(): number {
    return this.#available;
  }

  /** The first chunk, joined with the next ones until it holds `count` bytes. */
  #gather(count: number): Buffer {
    const [head] = this.#chunks;
    if (head !== undefined && head.length >= count) return head;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}
