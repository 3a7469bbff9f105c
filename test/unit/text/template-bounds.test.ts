/** What is small in a template can stand for what is endless: values that share their parts. */

import { expect, test } from 'vitest';
import { Template } from '../../../src/text/jinja/template.js';

/** Doubled so often that its text has a quarter of a million pieces. */
const doubled = (start: string, twice: string) =>
  `{% set ns = namespace(a=${start}) %}` +
  `{% for i in range(18) %}{% set ns.a = ${twice} %}{% endfor %}{% set a = ns.a %}`;
const LIST = doubled("['x']", '[ns.a, ns.a]');
const TUPLE = doubled("('x', 1)", '(ns.a, ns.a)');
const DICT = doubled("{'x': 1}", "{'a': ns.a, 'b': ns.a}");

/** How it ends when each look at the clock finds a millisecond gone. */
function failure(source: string, variables: Record<string, unknown> = {}): string {
  let nowMs = 0;
  const limits = { timeoutMs: 1000, maxLength: 1 << 20, now: () => nowMs++ };
  try {
    new Template(source).render(
      { people: [{ name: 'bob' }, { name: 'eve' }], ...variables },
      limits,
    );
    return '';
  } catch (error) {
    if (error instanceof Error && /^Template(Limit)?Error$/.test(error.name)) return error.message;
    throw error;
  }
}

test.each([
  ...[
    'people[a].x',
    'people[0][a].x',
    "'text'[a].x",
    'people|map(a)|list',
    'people|select(a)|list',
  ],
  ...['people|groupby(a)|list', 'people|sum(attribute=a)'],
])('{{ %s }} says what was looked for, not all that is in it', (use) => {
  for (const structure of [LIST, TUPLE, DICT]) {
    const message = failure(`${structure}{{ ${use} }}`);
    expect(message).toMatch(/ (list|tuple|dict)\b/);
    expect(message).not.toContain('[object');
    expect(message.length).toBeLessThan(200);
  }
});

test.each(['{a: 1}', 'a in {1: 2}', '[a, a]|unique|list', 'people[0][a]', 'dict([[a, 1]])'])(
  '{{ %s }} takes no tuple for a key whose text does not end',
  (use) => {
    expect(failure(`${TUPLE}{{ ${use} }}`)).toMatch(/tuple of more than 65536 characters/);
  },
);

test.each([
  ...['text in d', 'd[text] is defined', 'd.get(text)', '{text: 1}', '[text]|unique|first'],
  ...['dict([[text, 1]])', 'text in d.keys()', 'text is lower', 'text|urlencode', 'text|wordcount'],
  ...['text|e', 'text|trim("y")', 'text|truncate(9)'],
])('{{ %s }} takes as long as the text is, and is cut off', (use) => {
  const source = `{% for i in range(1500) %}{% set z = ${use} %}{% endfor %}`;
  const variables = { d: { a: 1 }, text: 'x'.repeat(1 << 16) };
  expect(failure(source, variables)).toMatch(/cut off/);
});
