/** A chunk: some rows of a job's input, which one worker takes together, and what came of them. */

import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import * as z from 'zod';
import { ERROR_CODES, type ErrorCode, PermafrostError, reasonOf } from '../protocol/errors.js';

const errorCode = z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]);
const line = z.int().min(1);

/** Bytes beside a chunk: in its BullMQ job when they are few, else under a key of the job's store. */
const payloadSchema = z.union([
  z.strictObject({ inline: z.base64() }),
  z.strictObject({ key: z.string(), sizeBytes: z.int().min(0) }),
]);

export type Payload = z.output<typeof payloadSchema>;

/** What a BullMQ job says. */
export const chunkDataSchema = z.object({
  job: z.string(),
  /** Tells jobs of one name apart. */
  run: z.string(),
  index: z.int().min(0),
  numRows: z.int().min(1),
  firstLine: line,
  lastLine: line,
  /** Of the job: higher runs first. */
  priority: z.int(),
  /** Where large payloads are: null is Redis itself. */
  store: z.string().nullable(),
  rows: payloadSchema,
  /** Rows that a worker had finished when it gave the chunk back. */
  kept: z.object({ lines: z.array(line), rows: payloadSchema }).optional(),
});

export type ChunkData = z.output<typeof chunkDataSchema>;

/** What a finished BullMQ job says. */
export const chunkResultSchema = z.object({
  /** Which machine. */
  worker: z.string(),
  numTokens: z.int().min(0),
  /** Lines of an output file. */
  rows: payloadSchema,
});

export type ChunkResult = z.output<typeof chunkResultSchema>;

/** A line of the input with its number; what is known to be wrong with it goes with it. */
const chunkRowSchema = z.union([
  z.strictObject({ line, text: z.string() }),
  z.strictObject({
    line,
    customId: z.string().nullable(),
    /** Digest of what it asks for. */
    request: z.int().optional(),
    error: z.strictObject({ code: errorCode, message: z.string() }),
  }),
]);

export type ChunkRow = z.output<typeof chunkRowSchema>;

const chunkRowsSchema = z.array(chunkRowSchema);

const pack = promisify(gzip);
const unpack = promisify(gunzip);
/** Quick: texts shrink to about a third anyway. */
const LEVEL = 1;

/** BullMQ's id of a chunk. Not a number, which BullMQ keeps for its own. */
export function chunkId(run: string, index: number): string {
  return `${run}-${index}`;
}

/** The index in a chunk's id; null for an id of another job. */
export function chunkIndex(run: string, id: string): number | null {
  return id.startsWith(`${run}-`) ? Number(id.slice(run.length + 1)) : null;
}

export async function encodeRows(rows: readonly ChunkRow[]): Promise<Buffer> {
  return pack(JSON.stringify(rows), { level: LEVEL });
}

export async function decodeRows(bytes: Uint8Array): Promise<readonly ChunkRow[]> {
  return chunkRowsSchema.parse(JSON.parse(await unpackText(bytes)));
}

/** Lines of an output file. */
export async function encodeResults(lines: readonly string[]): Promise<Buffer> {
  return pack(lines.map((text) => `${text}\n`).join(''), { level: LEVEL });
}

export async function decodeResults(bytes: Uint8Array): Promise<readonly string[]> {
  return (await unpackText(bytes)).split('\n').slice(0, -1);
}

async function unpackText(bytes: Uint8Array): Promise<string> {
  return (await unpack(bytes)).toString();
}

/** Checks what another process has left in the queue. */
export function readAs<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: string,
): z.output<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new PermafrostError(
    'ERR_QUEUE',
    `${what} is not what this version of Permafrost writes: ${reasonOf(read.error).slice(0, 300)}`,
    { cause: read.error },
  );
}
