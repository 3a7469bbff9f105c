import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { BatchRow, PermafrostError } from '../../src/index.js';
import { DisturbedEngine } from './disturbed/engine.js';
import { Engine, TINY } from './engines.js';

const GREEDY = { temperature: 0, maxTokens: 8 } as const;
const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The code of each row's error, or its text, by index. */
async function endsOf(rows: AsyncIterable<BatchRow>): Promise<string[]> {
  const ends: string[] = [];
  for await (const row of rows) {
    ends[row.index] = 'error' in row ? row.error.code : row.completion.text;
  }
  return ends;
}

const sums = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ prompt: `${index}+1=`, params: GREEDY }));

test('a text that kills its process, and its neighbours, is found and costs one request', async () => {
  await using engine = await DisturbedEngine.start({ model: TINY, devices: ['cpu'] });
  const plain = await endsOf(engine.batch(sums(20)));
  const requests = [...sums(20), { prompt: 'KILL', params: GREEDY }];
  expect(await endsOf(engine.batch(requests))).toEqual([...plain, 'ERR_POISONED']);
  expect(engine.restarts).toHaveLength(3);
});

test('a text that never ends costs one request, and no restart', async () => {
  const options = { model: TINY, devices: ['cpu'], textTimeoutMs: 500 };
  await using engine = await DisturbedEngine.start(options);
  const requests = [...sums(5), { prompt: 'LOOP', params: GREEDY }, ...sums(5)];
  const ends = await endsOf(engine.batch(requests));
  expect(ends.map((end) => end === 'ERR_TEXT_LIMIT')).toEqual(requests.map((_, at) => at === 5));
  expect(ends.filter((end) => /^ERR_/.test(end))).toHaveLength(1);
  expect(engine.restarts).toEqual([]);
});

test('a JSON schema that never ends, or takes the process down, costs one request', async () => {
  const options = { model: TINY, devices: ['cpu'], textTimeoutMs: 5000 };
  await using engine = await DisturbedEngine.start(options);
  const asked = (title: string) => ({
    prompt: '1+1=',
    params: {
      ...GREEDY,
      responseFormat: { type: 'json_schema', schema: { title, type: 'boolean' } } as const,
    },
  });
  const requests = [...sums(3), asked('a'), asked('LOOP'), asked('b'), ...sums(3)];
  const expected = ['true', 'false'];
  const ends = await endsOf(engine.batch(requests));
  expect(ends[4]).toBe('ERR_TEXT_LIMIT');
  for (const index of [3, 5]) expect(expected).toContain(ends[index]);
  expect(ends.filter((end) => end.startsWith('ERR_'))).toHaveLength(1);
  expect(engine.restarts).toEqual([]);

  const again = await endsOf(engine.batch([...sums(3), asked('a'), asked('KILL'), ...sums(3)]));
  expect(again[4]).toBe('ERR_POISONED');
  expect(again.filter((end) => end.startsWith('ERR_'))).toHaveLength(1);
  expect(engine.restarts).toHaveLength(3);
});

test('a chat template that loops costs the requests that make it, one by one', async () => {
  const model = join(folder, 'looping');
  cpSync(TINY, model, { recursive: true });
  const loop = '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}';
  writeFileSync(
    join(model, 'chat_template.jinja'),
    `{% if messages[0].content == 'loop' %}${loop}{% endif %}{{ messages[0].content }}`,
  );
  const engine = await Engine.start({ model, devices: ['cpu'] });
  try {
    const chat = (content: string) => ({
      prompt: { messages: [{ role: 'user', content }] },
      params: GREEDY,
    });
    const rows: string[] = [];
    for await (const row of engine.batch([
      chat('loop'),
      chat('1+1='),
      chat('loop'),
      chat('2+2='),
    ])) {
      rows.push(`${row.index} ${'error' in row ? row.error.code : 'done'}`);
    }
    // Those behind it do not wait for its whole time.
    expect(rows.slice(0, 2).sort()).toEqual(['1 done', '3 done']);
    expect(rows.slice(2).sort()).toEqual(['0 ERR_TEXT_LIMIT', '2 ERR_TEXT_LIMIT']);
    const signal = AbortSignal.timeout(50);
    const ended = await engine.generate(chat('loop').prompt, { ...GREEDY, signal });
    expect(ended.finishReason).toBe('abort');
  } finally {
    await engine.close();
  }
});

test('a chat template that grows without end costs the requests that make it', async () => {
  const model = join(folder, 'growing');
  cpSync(TINY, model, { recursive: true });
  const bombs = {
    write: "{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    double:
      "{% set ns = namespace(x='x') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    keep: '{% set ns = namespace(x=[]) %}{% for a in range(99) %}{% for b in range(99999) %}{% set ns.x = [ns.x, {"a": [b]}] %}{% endfor %}{% endfor %}',
    nest: '{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}',
  };
  const branches = Object.entries(bombs).map(([name, bomb]) => {
    return `{% if messages[0].content == '${name}' %}${bomb}{% endif %}`;
  });
  const template = `${branches.join('')}{{ messages[0].content }}`;
  writeFileSync(join(model, 'chat_template.jinja'), template);
  const engine = await Engine.start({
    model,
    devices: ['cpu'],
    textMemoryBytes: 1 << 26,
    on: { restart: ({ reason }) => expect.unreachable(reason) },
  });
  try {
    const names = Object.keys(bombs);
    const contents = names.flatMap((name, index) => [name, `${index}+1=`]);
    const ends = await endsOf(
      engine.batch(
        contents.map((content) => ({
          prompt: { messages: [{ role: 'user', content }] },
          params: GREEDY,
        })),
      ),
    );
    expect(ends.map((end) => end === 'ERR_TEXT_LIMIT')).toEqual(
      contents.map((content) => names.includes(content)),
    );
    expect(ends.filter((end) => end.startsWith('ERR_'))).toHaveLength(names.length);
  } finally {
    await engine.close();
  }
});

test('short prompts overtake eight of a megabyte of spaces', async () => {
  const engine = await Engine.start({ model: TINY, devices: ['cpu'], textTimeoutMs: 120_000 });
  try {
    const order: string[] = [];
    const note = (name: string) => (end: { readonly code?: string } | unknown) => {
      order.push(`${name} ${(end as PermafrostError).code ?? 'done'}`);
    };
    const spaces = Array.from({ length: 8 }, () =>
      engine.generate(' '.repeat(1 << 20), GREEDY).then(note('long'), note('long')),
    );
    const short = engine.generate('17+25=', GREEDY).then(note('short'), note('short'));
    const ids = engine.generate([1, 2, 3], GREEDY).then(note('ids'), note('ids'));
    await Promise.all([...spaces, short, ids]);
    // One of them may be done as quickly.
    const places = ['short done', 'ids done'].map((name) => order.indexOf(name));
    for (const place of places) expect([0, 1, 2]).toContain(place);
    expect(order.filter((name) => name === 'long ERR_PROMPT_TOO_LONG')).toHaveLength(8);
  } finally {
    await engine.close();
  }
});
