/** Where a queue is: `redis://host/name`. */

import { PermafrostError } from '../protocol/errors.js';

export interface QueueAddress {
  readonly host: string;
  readonly port: number;
  readonly database: number;
  readonly isEncrypted: boolean;
  readonly user: string | null;
  readonly password: string | null;
  /** Of the queue in its Redis. */
  readonly name: string;
  /** The address in messages: without the password. */
  readonly label: string;
}

const DEFAULT_PORT = 6379;
const FORM = 'redis://[user:password@]host[:port]/[database/]name';
/** What a key of Redis and a folder can both be called; BullMQ takes no colon. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/;

/**
 * Reads a queue's URL. A password that it does not have comes from `PERMAFROST_REDIS_PASSWORD`, since
 * everybody on a machine sees a command's arguments.
 *
 * @throws ERR_BAD_OPTION, in which no password is shown.
 */
export function parseQueueAddress(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
): QueueAddress {
  const text = value instanceof URL ? value.href : value;
  if (typeof text !== 'string' || text === '') throw bad('must be given');
  const url = parseUrl(text);
  const isEncrypted = url.protocol === 'rediss:';
  if (!isEncrypted && url.protocol !== 'redis:') {
    throw bad(`is at redis:// or rediss://, not at ${url.protocol}//`);
  }
  if (url.search !== '' || url.hash !== '') throw bad('takes no ? and no # behind its name');
  if (url.hostname === '') throw bad('names no host');
  const parts = url.pathname.split('/').slice(1).map(decode);
  const [first = '', second] = parts;
  const hasDatabase = parts.length === 2 && /^\d{1,4}$/.test(first);
  if (parts.length > 1 && !hasDatabase) throw bad('has too many slashes behind its host');
  const name = hasDatabase ? (second ?? '') : first;
  if (name === '') throw bad('has no name behind its host');
  if (!isName(name)) throw bad(`can't be named ${JSON.stringify(name.slice(0, 80))}: ${NAME_RULE}`);
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  const database = hasDatabase ? Number(first) : 0;
  const inDatabase = hasDatabase ? `${database}/` : '';
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    database,
    isEncrypted,
    user: url.username === '' ? null : decode(url.username),
    password: url.password === '' ? (env.PERMAFROST_REDIS_PASSWORD ?? null) : decode(url.password),
    name,
    label: `${url.protocol}//${url.hostname}:${port}/${inDatabase}${name}`,
  };
}

/** Whether a queue or a job can be called so. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

export const NAME_RULE =
  'a name has at most 100 letters, digits, dots, dashes and underscores, and begins with no dot or dash';

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // Its error shows the text, and that may have a password.
    throw bad('is not a URL');
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw bad('has a % that stands for nothing');
  }
}

function bad(what: string): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', `queue: the address ${what}; it is ${FORM}`);
}
