import { expect, test } from 'vitest';
import { ChatTemplate, readChatTemplate } from '../../../src/text/chat-template.js';

const tokens = { bos_token: '<s>', eos_token: '</s>' };
const plain = '{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}';
const messages = [{ role: 'user', content: 'Hi' }];
const templateOf = (text: string, named: Record<string, string> = tokens) =>
  new ChatTemplate({ text, fileName: 'chat_template.jinja' }, null, named);
const render = (template: ChatTemplate | null) =>
  template?.render(messages, { addGenerationPrompt: true });

test('a template sees the special tokens, the messages and its options', () => {
  const source = `${plain}{{ eos_token }}{% if add_generation_prompt %}>{% endif %}{{ mood }}`;
  const template = templateOf(source);
  const options = { addGenerationPrompt: true, templateOptions: { mood: 'calm' } };
  expect(template.render(messages, options)).toBe('<s>[user]Hi</s>>calm');
});

test('a special token that the checkpoint lacks renders as nothing', () => {
  expect(render(templateOf(plain, {}))).toBe('[user]Hi');
});

test('options cannot replace the messages', () => {
  const template = templateOf(plain);
  const options = { addGenerationPrompt: true, templateOptions: { messages: [] } };
  expect(template.render(messages, options)).toBe('<s>[user]Hi');
});

test('a file of its own goes before tokenizer_config.json', () => {
  const sources = { file: 'from the file', configured: 'from the config' };
  expect(render(readChatTemplate(sources, tokens))).toBe('from the file');
});

test.each([
  ['text', plain],
  [
    'list',
    [
      { name: 'tool_use', template: 'no' },
      { name: 'default', template: plain },
    ],
  ],
  ['object', { rag: 'no', default: plain }],
])('tokenizer_config.json may hold a %s', (_, configured) => {
  expect(render(readChatTemplate({ file: null, configured }, tokens))).toBe('<s>[user]Hi');
});

test.each([undefined, null])('no template (%s) is no error', (configured) => {
  expect(readChatTemplate({ file: null, configured }, tokens)).toBeNull();
});

test.each([
  ['is not a text', 5],
  ['has no default', [{ name: 'rag', template: plain }]],
  ['is no Jinja', '{% if'],
])('a template that %s is ERR_TOKENIZER and names its file', (_, configured) => {
  expect(() => readChatTemplate({ file: null, configured }, tokens)).toThrow(
    expect.objectContaining({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining('tokenizer_config.json'),
    }),
  );
});

test('what a template raises is ERR_TOKENIZER with its words', () => {
  const source = "{{ raise_exception('roles must alternate') }}";
  const template = templateOf(source);
  expect(() => render(template)).toThrow(
    expect.objectContaining({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining('roles must alternate'),
    }),
  );
});

test('tools and documents are None unless the options give them', () => {
  const source = '{{ tools is none }}{{ documents is none }}{{ tools is not none }}';
  const template = templateOf(source);
  expect(render(template)).toBe('TrueTrueFalse');
  const options = { addGenerationPrompt: true, templateOptions: { tools: [{ name: 'f' }] } };
  expect(template.render(messages, options)).toBe('FalseTrueTrue');
});

test.each([
  ['a list', { configured: [named('default', 'plain'), named('tool_use', 'tools')], file: null }],
  ['a file', { configured: 'not this', file: 'plain', toolUseFile: 'tools' }],
])('a template for conversations with tools, from %s, is taken for those alone', (_, sources) => {
  const template = readChatTemplate(sources, tokens);
  expect(render(template)).toBe('plain');
  const options = { addGenerationPrompt: true, templateOptions: { tools: [] } };
  expect(template?.render(messages, options)).toBe('tools');
});

test('a damaged template for tools costs only the conversations that have some', () => {
  const sources = { file: 'plain', toolUseFile: '{% if', configured: null };
  const template = readChatTemplate(sources, tokens);
  expect(render(template)).toBe('plain');
  const options = { addGenerationPrompt: true, templateOptions: { tools: [] } };
  expect(() => template?.render(messages, options)).toThrow(
    expect.objectContaining({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining('tool_use.jinja'),
    }),
  );
});

test.each([
  [
    'loops without end',
    '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
  ],
  ['writes without end', '{% for i in range(99999) %}{{ messages * 1000 }}{% endfor %}'],
  [
    'doubles a text',
    '{% set n = namespace(t="ab") %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}',
  ],
  [
    'doubles a list',
    '{% set n = namespace(t=[1]) %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}',
  ],
  [
    'squares a number',
    '{% set n = namespace(t=9) %}{% for i in range(99) %}{% set n.t = n.t * n.t %}{% endfor %}',
  ],
  ['raises to a power', '{{ 9 ** 99999 }}'],
  ['repeats a text', "{{ 'x' * 999999999999 }}"],
  ['pads a text', "{{ 'x'.center(999999999) }}"],
  ['formats a text', "{{ ('%99999999d' % 1) * 2 }}"],
  ['calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
  ['loops in itself', '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}'],
])('a template that %s is cut off', (_, source) => {
  const limits = { timeoutMs: 50, maxLength: 1 << 20 };
  const template = new ChatTemplate({ text: source, fileName: 'x' }, null, tokens, limits);
  expect(() => render(template)).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^ERR_(TEXT_LIMIT|TOKENIZER)$/) }),
  );
});

function named(name: string, template: string) {
  return { name, template };
}
