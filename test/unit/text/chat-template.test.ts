import { expect, test } from 'vitest';
import { ChatTemplate, readChatTemplate } from '../../../src/text/chat-template.js';

const tokens = { bos_token: '<s>', eos_token: '</s>' };
const plain = '{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}';
const messages = [{ role: 'user', content: 'Hi' }];
const render = (template: ChatTemplate | null) =>
  template?.render(messages, { addGenerationPrompt: true });

test('a template sees the special tokens, the messages and its options', () => {
  const source = `${plain}{{ eos_token }}{% if add_generation_prompt %}>{% endif %}{{ mood }}`;
  const template = new ChatTemplate(source, 'chat_template.jinja', tokens);
  const options = { addGenerationPrompt: true, templateOptions: { mood: 'calm' } };
  expect(template.render(messages, options)).toBe('<s>[user]Hi</s>>calm');
});

test('a special token that the checkpoint lacks renders as nothing', () => {
  expect(render(new ChatTemplate(plain, 'chat_template.jinja', {}))).toBe('[user]Hi');
});

test('options cannot replace the messages', () => {
  const template = new ChatTemplate(plain, 'chat_template.jinja', tokens);
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
  const template = new ChatTemplate(source, 'chat_template.jinja', tokens);
  expect(() => render(template)).toThrow(
    expect.objectContaining({
      code: 'ERR_TOKENIZER',
      message: expect.stringContaining('roles must alternate'),
    }),
  );
});
