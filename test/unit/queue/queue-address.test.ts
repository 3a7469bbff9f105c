import { describe, expect, test } from 'vitest';
import type { PermafrostError } from '../../../src/protocol/errors.js';
import { parseQueueAddress } from '../../../src/queue/queue-address.js';

const parse = (url: unknown, env = {}) => parseQueueAddress(url, env);

describe('a queue’s address', () => {
  test.each([
    ['redis://host/name', { host: 'host', port: 6379, database: 0, name: 'name' }],
    ['redis://host:7000/3/a.b-c_d', { port: 7000, database: 3, name: 'a.b-c_d' }],
    ['redis://[::1]:7000/name', { host: '::1', port: 7000 }],
    ['rediss://host/name', { isEncrypted: true }],
    ['redis://me:p%40ss@host/name', { user: 'me', password: 'p@ss' }],
    ['redis://:secret@host/name', { user: null, password: 'secret' }],
    ['redis://host/7', { database: 0, name: '7' }],
  ])('%s is read', (url, parts) => {
    expect(parse(url)).toMatchObject(parts);
    expect(parse(new URL(url))).toEqual(parse(url));
  });

  test('its label has no password', () => {
    expect(parse('redis://me:secret@host/name').label).toBe('redis://host:6379/name');
  });

  test('a password comes from the environment where the address has none', () => {
    const env = { PERMAFROST_REDIS_PASSWORD: 'hidden' };
    expect(parse('redis://host/name', env).password).toBe('hidden');
    expect(parse('redis://:own@host/name', env).password).toBe('own');
  });

  test.each([
    [undefined, 'must be given'],
    ['', 'must be given'],
    [7, 'must be given'],
    ['host/name', 'is not a URL'],
    ['redis://me:secret@ho st/name', 'is not a URL'],
    ['http://host/name', 'not at http://'],
    ['redis://host', 'has no name'],
    ['redis://host/', 'has no name'],
    ['redis://host/3/', 'has no name'],
    ['redis:///name', 'names no host'],
    ['redis://host/a/b', 'has too many slashes'],
    ['redis://host/1/2/3', 'has too many slashes'],
    ['redis://host/a%3Ab', `can't be named "a:b"`],
    ['redis://host/%E0%A4%A', 'stands for nothing'],
    ['redis://host/-x', `can't be named`],
    ['redis://host/name?db=2', 'takes no ?'],
  ])('%s is refused', (url, words) => {
    const error = (() => {
      try {
        return parse(url);
      } catch (thrown) {
        return thrown as PermafrostError;
      }
    })();
    expect(error).toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining(words),
    });
    expect((error as PermafrostError).message).not.toContain('secret');
  });
});
