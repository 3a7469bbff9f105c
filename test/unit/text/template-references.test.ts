/**
 * Templates against what jinja2 makes of them, in the environment of transformers' chat templates.
 * The references come from tools/templates/render-references.py.
 */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Template } from '../../../src/text/jinja/template.js';

type Reference = { readonly text: string } | { readonly fails: string };

interface References {
  readonly constructs: readonly (Reference & { readonly template: string })[];
  readonly families: Readonly<Record<string, readonly Reference[]>>;
}

const folder = new URL('../../fixtures/templates/', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8');
const references: References = JSON.parse(read('references.json'));
const { variables } = JSON.parse(read('constructs.json'));
const conversations: readonly Record<string, unknown>[] = JSON.parse(read('conversations.json'));

/** The text, or that there is none; anything but a template's error is thrown on. */
function render(source: string, given: Record<string, unknown>): Reference {
  const limits = { timeoutMs: 60_000, maxLength: 1 << 24, now: () => performance.now() };
  const date = () => new Date(2025, 2, 9, 7, 5, 3, 42);
  try {
    return { text: new Template(source).render(given, { ...limits, date }) };
  } catch (error) {
    if (error instanceof Error && /^Template(Limit)?Error$/.test(error.name)) {
      return { fails: error.message };
    }
    throw error;
  }
}

const expected = (reference: Reference) =>
  'text' in reference ? { text: reference.text } : { fails: expect.any(String) };

test('there are the templates of 30 families, and each renders something', () => {
  const families = Object.values(references.families);
  expect(families.length).toBeGreaterThanOrEqual(30);
  for (const family of families) {
    expect(family).toHaveLength(conversations.length);
    expect(family.some((reference) => 'text' in reference)).toBe(true);
  }
});

test.each(references.constructs)('%# as jinja2 does: $template', ({ template, ...reference }) => {
  expect(render(template, variables)).toEqual(expected(reference));
});

test.each(Object.entries(references.families))('%s as jinja2 does', (family, rendered) => {
  const source = read(`families/${family}.jinja`);
  const results = conversations.map((conversation) => render(source, conversation));
  expect(results).toEqual(rendered.map(expected));
});

test.each([
  ['the statement', 'block', '{% block a %}{% endblock %}'],
  ['the statement', 'include', "{% if false %}{% include 'a' %}{% endif %}"],
  ['the filter', 'urlize', "{% if false %}{{ 'a'|urlize }}{% endif %}"],
  ['the filter', 'random', '{{ [1]|random }}'],
  ['the method', 'encode', "{% if false %}{{ 'a'.encode('utf-8') }}{% endif %}"],
  ['the function', 'lipsum', '{{ lipsum() }}'],
  ['the name', 'self', '{{ self }}'],
])('%s %s is refused by name when the template is parsed', (_, name, source) => {
  expect(() => new Template(source)).toThrow(new RegExp(`'${name}'.* is not supported`));
});

test('an object as text is refused where jinja2 writes an address in memory', () => {
  expect(render('{{ range }}', {})).toEqual({ fails: expect.stringContaining('address') });
  expect(render('{{ [1]|map("int") }}', {})).toEqual({ fails: expect.stringContaining('address') });
});
