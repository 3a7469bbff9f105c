import { describe, expect, test } from 'vitest';
import {
  type ValidRequest,
  validateCall,
  validateRequest,
} from '../../../src/protocol/request-validation.js';

const messages = [{ role: 'user', content: 'x' }];
const chat = (templateOptions: unknown) => ({ prompt: { messages, templateOptions } });

function refused(code: string, message: string) {
  return expect.objectContaining({ code, message: expect.stringContaining(message) });
}

/** An object of which each field answers differently every time, and how often each was asked. */
function restless(first: object): { readonly value: object; readonly reads: Map<string, number> } {
  const reads = new Map<string, number>();
  const value = {};
  for (const [name, field] of Object.entries(first)) {
    const get = () => {
      const numReads = (reads.get(name) ?? 0) + 1;
      reads.set(name, numReads);
      return numReads === 1 ? field : Symbol('another answer');
    };
    Object.defineProperty(value, name, { get, enumerable: true });
  }
  return { value, reads };
}

/** A list that counts how many of its elements are looked at. */
function watched(length: number, element: unknown) {
  const list = { numReads: 0, value: [] as unknown[] };
  list.value = new Proxy([], {
    get(_, key) {
      if (key === 'length') return length;
      list.numReads++;
      return element;
    },
  });
  return list;
}

describe('what was taken is a copy', () => {
  test('no later change of anything in it is seen', () => {
    const ids = [1, 2, 3];
    const stop = ['a'];
    const stopTokenIds = [1];
    const logitBias: Record<string, number> = { 5: 1 };
    const schema = { type: 'object', required: ['a'] };
    const format = { type: 'json_schema', schema };
    const turns = [{ role: 'user', content: 'x' }];
    const templateOptions = { deep: { list: [{ a: 1 }] } };
    const params = { stop, stopTokenIds, logitBias, maxTokens: 4 };
    const taken = [
      validateRequest({ prompt: ids, params }),
      validateRequest({ prompt: { messages: turns, templateOptions } }),
      validateRequest({ prompt: 'x', params: { responseFormat: format } }),
    ];
    const before = structuredClone(taken);
    ids.push(-1);
    stop.push('');
    stopTokenIds.length = 0;
    logitBias.x = Number.NaN;
    schema.required.push('b');
    schema.type = 'nothing';
    turns.push({ role: 'x', content: 'late' });
    Object.assign(turns[0] ?? {}, { content: 7 });
    templateOptions.deep.list.push({ a: 2 });
    params.maxTokens = -1;
    expect(taken).toEqual(before);
  });

  test.each([
    ['shared with other threads', () => new Int32Array(new SharedArrayBuffer(12))],
    ['of its own', () => new Int32Array(3)],
    ['of unsigned ids', () => new Uint32Array(3)],
    ['of short ids', () => new Uint16Array(3)],
  ])('ids in memory %s', (_, make) => {
    const words = make();
    words.set([7, 8, 9]);
    const { prompt } = validateRequest({ prompt: words });
    words.fill(1);
    expect(prompt).toEqual(Int32Array.of(7, 8, 9));
    expect((prompt as Int32Array).buffer).toBeInstanceOf(ArrayBuffer);
  });

  test('ids of which the memory is gone or smaller are what is left of them', () => {
    const given = new Int32Array([1, 2, 3]);
    structuredClone(given.buffer, { transfer: [given.buffer] });
    expect(() => validateRequest({ prompt: given })).toThrow(
      refused('ERR_BAD_REQUEST', 'prompt: has no token ids'),
    );
  });

  test('each field is read once, however it would answer then', () => {
    const params = restless({ maxTokens: 4, stop: 'x', logitBias: { 5: 1 } });
    const options = restless({ flag: true });
    const message = restless({ role: 'user', content: 'hi' });
    const prompt = restless({ messages: [message.value], templateOptions: options.value });
    const request = restless({ id: 'a', prompt: prompt.value, params: params.value, priority: 1 });
    const taken = validateRequest(request.value);
    expect(taken).toMatchObject({
      id: 'a',
      prompt: { messages: [{ role: 'user', content: 'hi' }], templateOptions: { flag: true } },
      params: { maxTokens: 4, stop: 'x', logitBias: { 5: 1 } },
      priority: 1,
    });
    for (const { reads } of [params, options, message, prompt, request]) {
      expect([...reads.values()]).toEqual([...reads.keys()].map(() => 1));
    }
  });

  test('a message that grows the list while it is read changes nothing', () => {
    const list: object[] = [];
    const get = () => {
      list.push({ role: 'x', content: 5 });
      return 'user';
    };
    list.push(Object.defineProperty({ content: 'x' }, 'role', { get, enumerable: true }));
    const { prompt } = validateRequest({ prompt: { messages: list } });
    expect(prompt).toEqual({ messages: [{ role: 'user', content: 'x' }] });
  });

  test('the fields of an instance are found on its prototype', () => {
    class Asked {
      get prompt() {
        return 'x';
      }
      get params() {
        return Object.create({ maxTokens: 3 });
      }
    }
    expect(validateRequest(new Asked())).toMatchObject({ prompt: 'x', params: { maxTokens: 3 } });
  });
});

describe('what throws while it is read is the error of its request', () => {
  const thrower = (name: string) =>
    Object.defineProperty({}, name, {
      get: () => {
        throw new TypeError('no entry');
      },
      enumerable: true,
    });
  const proxy = (trap: 'get' | 'ownKeys' | 'getPrototypeOf') =>
    new Proxy({ maxTokens: 1 }, { [trap]: () => JSON.parse('no entry') });
  const revoked = () => {
    const { proxy: value, revoke } = Proxy.revocable({}, {});
    revoke();
    return value;
  };

  test.each([
    ['a getter', thrower('prompt'), 'prompt: reading it failed: no entry'],
    ['a getter within', { prompt: 'x', params: thrower('topK') }, 'params.topK: reading it failed'],
    ['an option', chat(thrower('a')), 'prompt.templateOptions.a: reading it failed'],
    ['a proxy', { prompt: 'x', params: proxy('get') }, 'params.maxTokens: reading it failed'],
    ['its keys', { prompt: 'x', params: proxy('ownKeys') }, 'params: reading it failed'],
    ['its kind', { prompt: 'x', params: proxy('getPrototypeOf') }, 'params: reading it failed'],
    ['a revoked one', { prompt: revoked() }, 'prompt: reading it failed'],
    ['a revoked request', revoked(), 'reading it failed'],
  ])('%s', (_, request, message) => {
    expect(() => validateRequest(request)).toThrow(refused('ERR_BAD_REQUEST', message));
  });

  test('also when what it throws can not be shown', () => {
    const unspeakable = {
      get [Symbol.toStringTag]() {
        throw new Error('again');
      },
    };
    const prompt = new Proxy([1], {
      get: () => {
        throw unspeakable;
      },
    });
    expect(() => validateRequest({ prompt })).toThrow(refused('ERR_BAD_REQUEST', 'prompt: '));
  });
});

describe('template options and schemas hold what JSON holds', () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.in = { list: [cyclic] };
  const sparse: unknown[] = [];
  sparse[2] = 1;

  test.each([
    [{ a: { b: 5n } }, 'a.b: must be a value that JSON can hold, not 5n'],
    [{ a: [0, () => 1] }, 'a[1]: must be a value that JSON can hold, not a function'],
    [{ a: Symbol('s') }, 'a: must be a value that JSON can hold, not a symbol'],
    [{ a: new Date(0) }, 'a: must be a value that JSON can hold, not a Date'],
    [{ a: new Map([[1, 2]]) }, 'a: must be a value that JSON can hold, not a Map'],
    [{ a: new Set() }, 'a: must be a value that JSON can hold, not a Set'],
    [{ a: /x/ }, 'a: must be a value that JSON can hold, not a RegExp'],
    [{ a: new Uint8Array(2) }, 'a: must be a value that JSON can hold, not a Uint8Array'],
    [{ a: Promise.resolve() }, 'a: must be a value that JSON can hold, not a Promise'],
    [{ a: Object('x') }, 'a: must be a value that JSON can hold, not a String'],
    [{ a: Number.NaN }, 'a: must be a value that JSON can hold, not NaN'],
    [{ a: Number.NEGATIVE_INFINITY }, 'a: must be a value that JSON can hold, not -Infinity'],
    [{ a: sparse }, 'a[0]: must be a value that JSON can hold, not undefined'],
    [{ a: { toJSON: () => 1 } }, 'a.toJSON: must be a value that JSON can hold, not a function'],
    [{ a: { [Symbol('s')]: 1 } }, 'a: has a symbol for a name'],
    [cyclic, 'in.list[0]: refers to an object that it is part of'],
    [JSON.parse('{"a":{"__proto__":{"b":1}}}'), 'has a key named __proto__'],
    [new Map(), 'must be a value that JSON can hold, not a Map'],
  ])('%# not %o', (value, message) => {
    expect(() => validateRequest(chat(value))).toThrow(
      refused(
        'ERR_BAD_REQUEST',
        `prompt.templateOptions${message.includes(':') ? '.' : ': '}${message}`,
      ),
    );
    const responseFormat = { type: 'json_schema', schema: value };
    expect(() => validateRequest({ prompt: 'x', params: { responseFormat } })).toThrow(
      refused('ERR_BAD_REQUEST', message),
    );
  });

  test('what is undefined is left out, and objects without a prototype are objects', () => {
    const options = Object.assign(Object.create(null), { a: undefined, b: [null, -0, 'x'] });
    const { prompt } = validateRequest(chat(options));
    expect(prompt).toEqual({ messages, templateOptions: { b: [null, -0, 'x'] } });
  });
});

describe('text that no encoding holds is refused by its place', () => {
  const lone = 'a\ud83d';
  test.each<[unknown, string]>([
    [{ prompt: lone }, 'prompt: '],
    [{ prompt: '\udc00x' }, 'prompt: has half a surrogate pair at position 0'],
    [{ prompt: { messages: [{ role: 'user', content: lone }] } }, 'prompt.messages[0].content: '],
    [{ prompt: { messages: [{ role: lone, content: '' }] } }, 'prompt.messages[0].role: '],
    [{ prompt: 'x', params: { stop: lone } }, 'params.stop: '],
    [{ prompt: 'x', params: { stop: ['b', lone] } }, 'params.stop[1]: '],
    [chat({ a: [lone] }), 'prompt.templateOptions.a[0]: '],
    [chat({ [lone]: 1 }), 'prompt.templateOptions.'],
    [
      {
        prompt: 'x',
        params: { responseFormat: { type: 'json_schema', schema: { const: lone } } },
      },
      'params.responseFormat.schema.const: ',
    ],
  ])('%# %o', (request, place) => {
    expect(() => validateRequest(request)).toThrow(refused('ERR_BAD_REQUEST', place));
    expect(() => validateRequest(request)).toThrow(/half a surrogate pair at position \d/);
  });

  test('whole pairs are text', () => {
    expect(validateRequest({ prompt: '🦣' }).prompt).toBe('🦣');
  });
});

describe('a request that is too large is refused before it is read', () => {
  const tooLarge = expect.objectContaining({ code: 'ERR_REQUEST_TOO_LARGE' });

  test.each<[string, (list: unknown[]) => unknown]>([
    ['token ids', (prompt) => ({ prompt })],
    ['messages', (list) => ({ prompt: { messages: list } })],
    ['a list in template options', (list) => chat({ a: [list] })],
    [
      'a list in a schema',
      (list) => ({
        prompt: 'x',
        params: { responseFormat: { type: 'json_schema', schema: { enum: list } } },
      }),
    ],
  ])('%s', (_, request) => {
    const list = watched(2 ** 31, 0);
    expect(() => validateRequest(request(list.value))).toThrow(tooLarge);
    expect(list.numReads).toBe(0);
  });

  test('also when it is large only because parts of it are shared', () => {
    let dag: unknown = 'leaf';
    for (let level = 0; level < 40; level++) dag = { left: dag, right: dag };
    expect(() => validateRequest(chat({ dag }))).toThrow(tooLarge);
  });

  test('by its characters, in all texts together', () => {
    const limits = { maxRequestBytes: 10_000, maxRequestValues: 100 };
    const message = { role: 'user', content: 'x'.repeat(1000) };
    const ask = (count: number) =>
      validateRequest({ prompt: { messages: Array(count).fill(message) } }, limits);
    expect(ask(4).sizeBytes).toBeGreaterThan(8000);
    expect(() => ask(5)).toThrow(
      refused('ERR_REQUEST_TOO_LARGE', 'more than 10000 bytes; send less, or start the engine'),
    );
  });

  test('what is wrong many times is looked at a few times', () => {
    const list = watched(10_000, 0);
    expect(() => validateRequest({ prompt: { messages: list.value } })).toThrow(
      refused('ERR_BAD_REQUEST', 'prompt.messages[3]: must be an object, not 0'),
    );
    expect(list.numReads).toBe(4);
    const names = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`x${index}`, 1]));
    const { message } = errorOf(() => validateRequest({ prompt: 'x', params: names }));
    expect(message.split('; ')).toHaveLength(4);
  });

  test.each([
    ['stop', 'at most 16'],
    ['stopTokenIds', 'at most 8'],
  ])('a list for %s is not looked into when it is too long', (name, wanted) => {
    const list = watched(1_000_000, 'x');
    expect(() => validateRequest({ prompt: 'x', params: { [name]: list.value } })).toThrow(
      refused('ERR_BAD_REQUEST', wanted),
    );
    expect(list.numReads).toBe(0);
  });
});

describe('numbers that 32 bits do not hold are refused', () => {
  const big = 2 ** 31;
  test.each<[object, string]>([
    [{ maxTokens: big }, 'params.maxTokens: must be a whole number from 1 to 2147483647'],
    [{ minTokens: big }, 'params.minTokens: '],
    [{ topK: 2 ** 32 + 1 }, 'params.topK: '],
    [{ seed: 2 ** 53 }, 'params.seed: '],
    [{ stopTokenIds: [big] }, 'params.stopTokenIds[0]: '],
    [{ logitBias: { [big]: 1 } }, 'params.logitBias.2147483648: '],
    [{ n: big }, 'params.n: '],
    [{ minTokens: 5, maxTokens: 4 }, 'params.minTokens: is larger than maxTokens'],
  ])('%o', (params, message) => {
    expect(() => validateRequest({ prompt: 'x', params })).toThrow(
      refused('ERR_BAD_REQUEST', message),
    );
  });

  test.each<[object, string]>([
    [{ prompt: [big] }, 'prompt[0]: must be a token id'],
    [
      { prompt: Uint32Array.of(1, big) },
      'prompt[1]: must be a token id, a whole number from 0 to 2147483647, not 2147483648',
    ],
    [{ prompt: Int32Array.of(-7) }, 'prompt[0]: '],
    [{ prompt: Float64Array.of(1) }, 'not a Float64Array'],
    [{ prompt: BigInt64Array.of(1n) }, 'not a BigInt64Array'],
    [{ prompt: Buffer.from('text') }, 'not a Uint8Array'],
    [{ prompt: 'x', priority: 2 ** 40 }, 'priority: '],
    [{ prompt: 'x', deadlineMs: 2 ** 31 }, 'deadlineMs: '],
    [{ prompt: 'x', deadlineMs: 5n }, 'deadlineMs: must be a number from 0 to 2147483647, not 5n'],
  ])('%o', (request, message) => {
    expect(() => validateRequest(request)).toThrow(refused('ERR_BAD_REQUEST', message));
  });
});

describe('a prompt alone is a request', () => {
  test.each<[unknown, ValidRequest['prompt']]>([
    ['text', 'text'],
    [[1, 2], Int32Array.of(1, 2)],
    [Int32Array.of(3), Int32Array.of(3)],
    [{ messages }, { messages }],
  ])('%o', (given, prompt) => {
    expect(validateRequest(given)).toEqual({ prompt, params: {}, sizeBytes: expect.any(Number) });
  });

  test.each<[unknown, string]>([
    [5, 'the request: must be a request: { prompt, params }, or a text, token ids'],
    [undefined, 'the request: must be'],
    ['', 'prompt: is empty'],
    [['a', 'b'], 'prompt[0]: must be a token id'],
    [new Map(), 'prompt: is missing'],
  ])('%o is none', (given, message) => {
    expect(() => validateRequest(given)).toThrow(refused('ERR_BAD_REQUEST', message));
  });
});

describe('a call', () => {
  test('has its parameters beside the other options', () => {
    const { signal } = new AbortController();
    const options = { id: 'a', maxTokens: 3, priority: 2, deadlineMs: 9, signal, seed: undefined };
    expect(validateCall('x', options)).toEqual({
      ...{ prompt: 'x', id: 'a', params: { maxTokens: 3 }, priority: 2, deadlineMs: 9, signal },
      sizeBytes: expect.any(Number),
    });
  });

  test.each<[unknown, string]>([
    [null, 'options: must be an object, not null'],
    [7, 'options: must be an object, not 7'],
    [[], 'options: must be an object, not an empty list'],
    [{ maxtokens: 1 }, 'maxtokens: unknown name; did you mean maxTokens?'],
    [{ deadline: 1 }, 'deadline: unknown name; did you mean deadlineMs?'],
    [{ signal: {} }, 'signal: must be an AbortSignal, not an object'],
    [{ signal: null }, 'signal: must be an AbortSignal, not null'],
    [{ zzz: 1 }, 'zzz: unknown name'],
  ])('with the options %o is refused', (options, message) => {
    expect(() => validateCall('x', options)).toThrow(refused('ERR_BAD_REQUEST', message));
  });
});

function errorOf(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it did not throw');
}
