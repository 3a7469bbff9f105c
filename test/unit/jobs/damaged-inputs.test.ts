/** Files that are damaged at random: every line has its row, and no job ends for one. */

import { rm, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseBatchLine } from '../../../src/jobs/openai-request.js';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { DEFAULT_REQUEST_LIMITS } from '../../../src/protocol/request-reader.js';
import { validateRequest } from '../../../src/protocol/request-validation.js';
import { FakeEngine, jobFiles, readOutput } from './batch-files.js';

/** What a line may end with, and nothing else: all of it is the line's fault. */
const LINE_CODES = new Set([
  'ERR_BAD_LINE',
  'ERR_LINE_TOO_LONG',
  'ERR_BAD_REQUEST',
  'ERR_REQUEST_TOO_LARGE',
  'ERR_UNSUPPORTED',
  'ERR_DUPLICATE_ID',
]);
/** What only our own code or the validation library would say. */
const INTERNAL =
  /Invalid input|received undefined|Cannot read|is not a|is not iterable|\[object \w+\]|Maximum call|Too (big|small)/;

const CHAT = {
  custom_id: 'chat',
  method: 'POST',
  url: '/v1/chat/completions',
  body: {
    model: 'tiny',
    messages: [
      { role: 'system', content: 'be brief', name: 'a' },
      { role: 'user', content: [{ type: 'text', text: 'é\u{1f600}' }] },
      { role: 'assistant', content: null, refusal: null, tool_calls: [] },
    ],
    max_completion_tokens: 5,
    temperature: 0.5,
    top_p: 0.9,
    n: 2,
    stop: ['a', 'b'],
    seed: 7,
    logprobs: true,
    top_logprobs: 2,
    logit_bias: { 5: -1 },
    presence_penalty: 0.5,
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'x', strict: true, schema: { type: 'object', properties: {} } },
    },
    chat_template_kwargs: { enable_thinking: false },
    tools: [],
    stream: false,
    user: 'u',
  },
};
const COMPLETION = {
  custom_id: 'text',
  method: 'POST',
  url: '/v1/completions',
  body: {
    model: 'tiny',
    prompt: ['one', 'two'],
    max_tokens: 5,
    logprobs: 1,
    stop: 'x',
    echo: false,
    best_of: 1,
    suffix: null,
    min_p: 0.1,
    top_k: 5,
    repetition_penalty: 1.1,
  },
};

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ...[null, true, 0, -1, 0.5, 1e300, 2 ** 53, '', 'a', '\ud800', '\0', [], {}, [null], [[]], [1]],
    ...[{ a: 1 }, 'x'.repeat(5000), new Array(3000).fill(0), '__proto__', 'http://a/b.png'],
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

type Path = readonly string[];

function pathsOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const below = Object.entries(value).flatMap(([key, part]) => pathsOf(part, [...path, key]));
  return path.length === 0 ? below : [path, ...below];
}

/** A copy with the value at the path replaced, or taken out. */
function edited(value: unknown, [key, ...rest]: Path, put: unknown): unknown {
  if (key === undefined || typeof value !== 'object' || value === null) return put;
  const entries = Object.entries(value).flatMap(([name, part]): [string, unknown][] => {
    if (name !== key) return [[name, part]];
    const changed = edited(part, rest, put);
    return changed === undefined ? [] : [[name, changed]];
  });
  return Array.isArray(value) ? entries.map(([, part]) => part) : Object.fromEntries(entries);
}

const editedLine = fc
  .record({
    base: fc.constantFrom(CHAT, COMPLETION),
    edits: fc.array(
      fc.record({ at: fc.nat(), put: fc.option(odd, { nil: undefined }), isNew: fc.boolean() }),
      { minLength: 1, maxLength: 3 },
    ),
    name: fc.oneof(fc.constantFrom('tools', 'functions', 'audio', 'x', '__proto__'), fc.string()),
  })
  .map(({ base, edits, name }) => {
    let line: unknown = base;
    for (const { at, put, isNew } of edits) {
      const paths = pathsOf(line);
      const path = paths[at % paths.length] ?? [];
      const body = (line as { body?: unknown }).body;
      const hasBody = typeof body === 'object' && body !== null && !Array.isArray(body);
      if (isNew && hasBody) line = { ...(line as object), body: { ...body, [name]: put } };
      else line = edited(line, path, put);
    }
    return JSON.stringify(line) ?? '';
  });

/** A good line with some of its text changed. */
const brokenLine = fc
  .record({
    base: fc.constantFrom(CHAT, COMPLETION),
    at: fc.nat(600),
    length: fc.nat(9),
    put: fc.oneof(
      fc.constantFrom('', '{', '}', '"', ',', '\\u', '\\ud800', '\0', '\uFEFF', '\t', '[[['),
      fc.integer({ min: 1, max: 9000 }).map((depth) => '['.repeat(depth)),
      fc.string({ maxLength: 4 }).map((text) => text.replace(/[\r\n]/g, '')),
    ),
  })
  .map(({ base, at, length, put }) => {
    const text = JSON.stringify(base);
    return text.slice(0, at) + put + text.slice(at + length);
  });

const line = fc.oneof(editedLine, editedLine, brokenLine);

function checkedError(error: { readonly code: string; readonly message: string }): void {
  expect(LINE_CODES).toContain(error.code);
  expect(error.message).not.toMatch(INTERNAL);
  expect(error.message.length).toBeLessThan(3000);
}

test('a line is a request that an engine takes, or an error that names what is wrong', () => {
  fc.assert(
    fc.property(line, (text) => {
      const parsed = parseBatchLine(text);
      if (parsed.kind === 'error') return checkedError(parsed.error);
      for (const prompt of parsed.prompts) {
        try {
          validateRequest({ prompt, params: parsed.params }, DEFAULT_REQUEST_LIMITS);
        } catch (error) {
          if (!(error instanceof PermafrostError)) throw error;
          checkedError(error);
        }
      }
    }),
    { seed: 13, numRuns: 4000 },
  );
});

test('a file has a row for every line, and resumed it has no more', async () => {
  const files = await jobFiles();
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 12 }),
      fc.constantFrom('\n', '\r\n', '\n\n', '\n \n'),
      fc.boolean(),
      async (lines, end, isEnded) => {
        await rm(files.output, { force: true });
        const given = lines.map((text) => text.replace(/[\r\n]/g, ''));
        await writeFile(files.input, given.join(end) + (isEnded ? end : ''));
        const engine = new FakeEngine();
        const summary = await runBatchFile(engine, { ...files, maxLineBytes: 1 << 16 }).catch(
          (error: unknown) => {
            if (error instanceof PermafrostError && error.code === 'ERR_BAD_OPTION') return null;
            throw error;
          },
        );
        if (summary === null) return;
        const rows = await readOutput(files.output);
        const numLines = given.filter((text) => text.trim() !== '').length;
        expect(rows).toHaveLength(numLines);
        expect(summary).toMatchObject({ total: numLines, unfinished: 0, interrupted: false });
        for (const { error } of rows) if (error) checkedError(error);
        const again = await runBatchFile(engine, { ...files, maxLineBytes: 1 << 16, resume: true });
        expect(again).toMatchObject({ total: numLines, unfinished: 0 });
      },
    ),
    { seed: 13, numRuns: 100 },
  );
});
