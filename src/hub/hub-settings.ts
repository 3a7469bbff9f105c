/** Where the hub and its cache are, by the environment variables that all its clients share. */

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { PermafrostError, reasonOf } from '../protocol/errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface HubToken {
  readonly text: string;
  /** Where it was found, for messages: never the token itself. */
  readonly source: string;
}

export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly isOffline: boolean;
  /** What made {@link HubSettings.isOffline} true. */
  readonly offlineBy: string | null;
  readonly tokenPath: string;
  /** How long the hub may send nothing. */
  readonly silenceMs: number;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const DEFAULT_SILENCE_MS = 30_000;
/** What a timer can hold. */
const MAX_SILENCE_MS = 2 ** 31 - 1;

/**
 * @param cacheDir in place of what the environment says.
 * @throws ERR_BAD_OPTION when a variable has a value that means nothing.
 */
export function readHubSettings(env: Environment, cacheDir: string | null): HubSettings {
  const home = path(env, 'HF_HOME') ?? join(userCache(env), 'huggingface');
  const cache =
    path(env, 'HF_HUB_CACHE') ?? path(env, 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub');
  const offlineBy = ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].find((name) => isTrue(env[name]));
  return {
    endpoint: endpointOf(env.HF_ENDPOINT || DEFAULT_ENDPOINT),
    cacheDir: resolve(cacheDir ?? cache),
    isOffline: offlineBy !== undefined,
    offlineBy: offlineBy ?? null,
    tokenPath: path(env, 'HF_TOKEN_PATH') ?? join(home, 'token'),
    silenceMs: silenceOf(env.HF_HUB_DOWNLOAD_TIMEOUT),
  };
}

/**
 * The token to show to the hub; null: none.
 * @throws ERR_BAD_OPTION when it is no token; ERR_FILE when its file can't be read.
 */
export async function readHubToken(
  env: Environment,
  { tokenPath }: HubSettings,
): Promise<HubToken | null> {
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const text = env[name]?.trim();
    if (text) return checkToken({ text, source: name });
  }
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return null;
  try {
    const text = (await readFile(tokenPath, 'utf8')).trim();
    return text === '' ? null : checkToken({ text, source: tokenPath });
  } catch (cause) {
    if (cause instanceof PermafrostError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new PermafrostError('ERR_FILE', `the hub's token, ${tokenPath}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** What can't be part of a header would be an error there, with the token in its message. */
function checkToken(token: HubToken): HubToken {
  if (/^[\x21-\x7e]{1,4096}$/.test(token.text)) return token;
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `${token.source} has no token of the hub: a token is one word of plain letters, as 'hf_…'`,
  );
}

function endpointOf(text: string): string {
  let url: URL | null = null;
  try {
    url = new URL(text);
  } catch {
    // Told below.
  }
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return text.replace(/\/+$/, '');
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `HF_ENDPOINT: must be the http: or https: URL of a hub, not '${text.slice(0, 100)}'`,
  );
}

function silenceOf(text: string | undefined): number {
  if (!text) return DEFAULT_SILENCE_MS;
  const ms = Number(text) * 1000;
  if (ms > 0 && ms <= MAX_SILENCE_MS) return ms;
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `HF_HUB_DOWNLOAD_TIMEOUT: must be a number of seconds, not '${text.slice(0, 100)}'`,
  );
}

function userCache(env: Environment): string {
  return path(env, 'XDG_CACHE_HOME') ?? join(env.HOME || homedir(), '.cache');
}

/** A variable's path, with `~` and variables in it as the hub's other clients take them. */
function path(env: Environment, name: string): string | null {
  const text = env[name];
  if (!text) return null;
  return text
    .replace(/^~(?=\/|$)/, env.HOME || homedir())
    .replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (whole, bare?: string, braced?: string) => {
      return env[bare ?? braced ?? ''] ?? whole;
    });
}

function isTrue(text: string | undefined): boolean {
  return text !== undefined && ['1', 'ON', 'YES', 'TRUE'].includes(text.toUpperCase());
}
