/**
 * The tokenizer library: Hugging Face's own, written in Rust. It is imported here only, and when a
 * tokenizer is loaded, since it has no binary for every platform.
 */

import type { Tokenizer as Library } from 'tokenizers';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { TOKENIZER_FILE } from './checkpoint-errors.js';
import type { Encoder, FoundTokens, StartEncoder, TokenizerChanges } from './encoder.js';

/** Encodes in this process, on the threads of libuv's pool. */
export class RustTokenizer implements Encoder {
  #library: Promise<Library> | Library;

  constructor(json: string) {
    this.#library = load(json);
    // Whoever completes the tokenizer is told.
    this.#library.catch(() => {});
  }

  async complete({ json, added, contents }: TokenizerChanges): Promise<FoundTokens> {
    const { AddedToken } = await loadLibrary();
    const library = await (json === null ? this.#library : load(json));
    // One that was stored would cut prompts or fill them up without a word.
    library.disableTruncation();
    library.disablePadding();
    library.addAddedTokens(
      added.map(({ content, special, single_word, lstrip, rstrip, normalized }) => {
        const options = { singleWord: single_word, leftStrip: lstrip, rightStrip: rstrip };
        return new AddedToken(content, special, { ...options, normalized });
      }),
    );
    this.#library = library;
    return contents.map((content) => {
      const id = library.tokenToId(content);
      return id === null ? null : { id, token: library.idToToken(id) ?? content };
    });
  }

  async encode(text: string, addSpecialTokens: boolean): Promise<Int32Array> {
    const library = await this.#library;
    try {
      const encoding = await library.encode(text, null, { addSpecialTokens });
      return Int32Array.from(encoding.getIds());
    } catch (cause) {
      const message = `the tokenizer failed on this text: ${reasonOf(cause)}`;
      throw new PermafrostError('ERR_TOKENIZER', message, { cause });
    }
  }

  close(): void {}
}

export const startRustTokenizer: StartEncoder = (json) => new RustTokenizer(json);

type Module = typeof import('tokenizers');

async function loadLibrary(): Promise<Module> {
  try {
    return await import('tokenizers');
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    const message = `the tokenizer library does not load on ${platform}, so that this model can't take text: ${reasonOf(cause)}`;
    throw new PermafrostError('ERR_TOKENIZER', message, { cause });
  }
}

async function load(json: string): Promise<Library> {
  const module = await loadLibrary();
  try {
    return module.Tokenizer.fromString(json);
  } catch (cause) {
    const what = refusedPart(module, json) ?? reasonOf(cause);
    const message = `${TOKENIZER_FILE} is damaged, or has something that is not supported: ${what}`;
    throw new PermafrostError('ERR_TOKENIZER', message, { cause });
  }
}

const SECTIONS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;
const LISTS = ['normalizers', 'pretokenizers', 'processors', 'decoders'];
const TINY_MODEL = { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' };
const MAX_LENGTH = 200;

/** The component that the library refuses: its own message gives a byte's position. */
function refusedPart({ Tokenizer }: Module, json: string): string | null {
  const file: Readonly<Record<string, unknown>> = Object(JSON.parse(json));
  for (const section of SECTIONS) {
    for (const part of [...innerParts(file[section]), file[section]]) {
      try {
        Tokenizer.fromString(JSON.stringify({ model: TINY_MODEL, [section]: part ?? null }));
      } catch (error) {
        const text = JSON.stringify(part).slice(0, MAX_LENGTH);
        return `${section}: ${text} (${reasonOf(error)})`;
      }
    }
  }
  return null;
}

function innerParts(part: unknown): readonly unknown[] {
  if (typeof part !== 'object' || part === null) return [];
  return Object.entries(part).flatMap(([name, list]) => {
    if (!LISTS.includes(name) || !Array.isArray(list)) return [];
    return list.flatMap((inner: unknown) => [...innerParts(inner), inner]);
  });
}
