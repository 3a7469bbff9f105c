import { describe, expect, test } from 'vitest';
import { parseBatchLine } from '../../../src/jobs/openai-request.js';

const MANY = 65_000;
const TOO_MANY = 70_000;

function line(url: string, body: string): string {
  return `{"custom_id":"row","method":"POST","url":"${url}","body":{"model":"m",${body}}}`;
}

const chat = (body: string) => line('/v1/chat/completions', body);
const completion = (body: string) => line('/v1/completions', body);
const list = (element: string, count: number) => `[${Array(count).fill(element).join(',')}]`;
const object = (count: number, value: string) =>
  `{${Array.from({ length: count }, (_, index) => `"${index}":${value}`).join(',')}}`;
const user = '"messages":[{"role":"user","content":"x"}]';

describe('a line with too many values is refused before a schema looks at them', () => {
  test.each([
    ['messages', chat(`"messages":${list('0', TOO_MANY)}`)],
    [
      'messages that are right',
      chat(`"messages":${list('{"role":"user","content":"x"}', 30_000)}`),
    ],
    ['text parts', chat(`"messages":[{"role":"user","content":${list('0', TOO_MANY)}}]`)],
    ['template variables', chat(`${user},"chat_template_kwargs":{"a":${list('[]', TOO_MANY)}}`)],
    ['biases', completion(`"prompt":"x","logit_bias":${object(TOO_MANY, '1')}`)],
    ['stops', completion(`"prompt":"x","stop":${list('"a"', TOO_MANY)}`)],
    ['metadata', completion(`"prompt":"x","metadata":${object(TOO_MANY, '"a"')}`)],
    ['unknown fields', completion(`"prompt":"x","y":${object(TOO_MANY, '1')}`)],
    ['prompts', completion(`"prompt":${list('"a"', TOO_MANY)}`)],
    ['lists for prompts', completion(`"prompt":${list('[]', TOO_MANY)}`)],
  ])('%s', (_, text) => {
    expect(parseBatchLine(text)).toEqual({
      kind: 'error',
      customId: 'row',
      error: {
        code: 'ERR_BAD_LINE',
        message: expect.stringMatching(
          /^body\.\w+: makes the line hold more than 65536 values, token ids not counted$/,
        ),
      },
    });
  });
});

describe('a line with many wrong values says of a few what is wrong', () => {
  test.each([
    [
      'messages',
      chat(`"messages":${list('0', MANY)}`),
      'body.messages[0]: must be an object, not 0',
    ],
    ['parts', chat(`"messages":[{"role":"user","content":${list('0', MANY)}}]`), 'content[0]'],
    ['biases', completion(`"prompt":"x","logit_bias":${object(MANY, '"a"')}`), 'body.logit_bias'],
    ['stops', completion(`"prompt":"x","stop":${list('1', MANY)}`), 'body.stop'],
    [
      'fields',
      completion(`"prompt":"x",${object(MANY, '1').slice(1, -1)}`),
      'body.3: unknown name; and many more',
    ],
  ])('%s', (_, text, message) => {
    const parsed = parseBatchLine(text);
    expect(parsed).toMatchObject({ kind: 'error', error: { code: 'ERR_BAD_LINE' } });
    const said = parsed.kind === 'error' ? parsed.error.message : '';
    expect(said).toContain(message);
    expect(said.length).toBeLessThanOrEqual(600);
  });
});

test('token ids are as many as there are', () => {
  const parsed = parseBatchLine(completion(`"prompt":${list('7', 200_000)}`));
  expect(parsed.kind === 'request' && parsed.prompts[0]).toHaveLength(200_000);
  const wrong = parseBatchLine(completion(`"prompt":${list('[]', 3)}`));
  expect(wrong).toMatchObject({ error: { message: expect.stringContaining('body.prompt[0]') } });
});
