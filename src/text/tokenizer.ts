/** A checkpoint's tokenizer: text to ids, ids to text. */

import { PermafrostError } from '../protocol/errors.js';
import type { TokenIds, TokenNames } from '../protocol/text-jobs.js';
import { damaged, refused, TOKENIZER_FILE } from './checkpoint-errors.js';
import { messageOf, readTextFile } from './checkpoint-files.js';
import type { Encoder, StartEncoder } from './encoder.js';
import { detokenize, startState } from './incremental-detokenizer.js';
import { contentOf, type SpecialTokens, type TokenizerConfig } from './special-tokens.js';
import { TokenBytes } from './token-bytes.js';
import { readTokenDecoder, type TokenDecoder } from './token-decoder.js';
import { addedTokens, configuredSections, type TokenizerParts } from './tokenizer-changes.js';
import { parseTokenizerFile, readVocabulary } from './tokenizer-file.js';

/** What decoding is told. */
interface DecodeOptions {
  readonly skipSpecialTokens?: boolean;
  /** The ids right before these. */
  readonly before?: TokenIds;
}

/** What a tokenizer is put together from when all has been read. */
interface LoadedParts {
  readonly encoder: Encoder;
  readonly decoder: TokenDecoder;
  /** By id, added tokens too. */
  readonly tokens: readonly (string | undefined)[];
  readonly specialContents: ReadonlySet<string>;
  readonly eosTokenIds: readonly number[];
}

/** Encodes text and decodes ids. */
export class Tokenizer {
  /** Ids below this one may be tokens. */
  readonly vocabSize: number;
  /** The ids of the end-of-sequence tokens that the checkpoint names. */
  readonly eosTokenIds: readonly number[];
  /** The bytes that text consists of: special tokens have none. */
  readonly textBytes: TokenBytes;
  readonly #encoder: Encoder;
  readonly #decoder: TokenDecoder;
  readonly #tokens: readonly (string | undefined)[];
  #allBytes: TokenBytes | undefined;

  constructor({ encoder, decoder, tokens, specialContents, eosTokenIds }: LoadedParts) {
    this.vocabSize = tokens.length;
    this.eosTokenIds = eosTokenIds;
    this.#encoder = encoder;
    this.#decoder = decoder;
    this.#tokens = tokens;
    const isText = (token: string | undefined) =>
      token === undefined || specialContents.has(token) ? undefined : token;
    this.textBytes = new TokenBytes(decoder, tokens.map(isText));
  }

  /**
   * Text to ids. Special tokens written in the text become their ids, as they do in every
   * engine; `addSpecialTokens` lets the tokenizer put its own around them.
   *
   * @throws ERR_TOKENIZER when the tokenizer fails on the text.
   */
  async encode(
    text: string,
    { addSpecialTokens }: { readonly addSpecialTokens: boolean },
  ): Promise<Int32Array> {
    if (!text.isWellFormed()) {
      const message = 'a lone surrogate can not be tokenized: the prompt is no well-formed text';
      throw new PermafrostError('ERR_BAD_REQUEST', message);
    }
    return this.#encoder.encode(text, addSpecialTokens);
  }

  /** Ids to text, all at once. Ids outside the vocabulary add nothing. */
  decode(tokenIds: TokenIds, { skipSpecialTokens = true, before }: DecodeOptions = {}): string {
    const table = skipSpecialTokens ? this.textBytes : this.#withSpecialTokens();
    return detokenize(table, startState(table, before), { tokenIds, isLast: true }).text;
  }

  /** The bytes of each id alone, special tokens by their names. */
  nameTokens(tokenIds: TokenIds): TokenNames {
    const table = this.#withSpecialTokens();
    const ends = new Int32Array(tokenIds.length);
    const isSpecial = new Uint8Array(tokenIds.length);
    let end = 0;
    for (const [index, id] of tokenIds.entries()) {
      end += table.get(id).length;
      ends[index] = end;
      isSpecial[index] = table.has(id) && !this.textBytes.has(id) ? 1 : 0;
    }
    return { bytes: table.join([], tokenIds), ends, isSpecial };
  }

  close(): void {
    this.#encoder.close();
  }

  #withSpecialTokens(): TokenBytes {
    this.#allBytes ??= new TokenBytes(this.#decoder, this.#tokens);
    return this.#allBytes;
  }
}

/** What the files beside tokenizer.json say, and who encodes. */
export interface TokenizerSource {
  readonly config: TokenizerConfig | null;
  readonly specialTokens: SpecialTokens;
  readonly startEncoder: StartEncoder;
}

/**
 * Loads the tokenizer of a checkpoint folder; null when it has no tokenizer.json.
 *
 * @throws ERR_TOKENIZER, naming the file, when it is damaged or has something that can't be carried
 * out; ERR_FILE.
 */
export async function loadTokenizer(
  folder: string,
  { config, specialTokens, startEncoder }: TokenizerSource,
): Promise<Tokenizer | null> {
  const text = await readTextFile(folder, TOKENIZER_FILE);
  if (text === null) return null;
  // It loads while the file is read here.
  const encoder = startEncoder(text);
  try {
    return await assemble(encoder, { file: parseTokenizerFile(text), config, specialTokens });
  } catch (error) {
    encoder.close();
    throw error;
  }
}

async function assemble(encoder: Encoder, parts: TokenizerParts): Promise<Tokenizer> {
  const { file, config, specialTokens } = parts;
  const tokens = readVocabulary(file);
  const sections = configuredSections(parts);
  const { added, expected } = addedTokens(parts);
  const isChanged = (['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const).some(
    (name) => sections[name] !== file[name],
  );
  const contents = new Set(
    [...expected.map(([content]) => content), ...added.map(({ content }) => content)].concat(
      specialTokens.eosContents,
    ),
  );
  const asked = [...contents];
  const found = await encoder.complete({
    json: isChanged ? JSON.stringify({ ...file, ...sections }) : null,
    added,
    contents: asked,
  });
  // What is put around every text is in this one too.
  await encoder.encode('', true).catch((cause: unknown) => {
    throw damaged(TOKENIZER_FILE, `it encodes nothing: ${messageOf(cause)}`, cause);
  });
  const foundOf = new Map(asked.map((content, index) => [content, found[index] ?? null]));
  for (const [content, id] of expected) {
    const actual = foundOf.get(content)?.id ?? null;
    if (actual === id) continue;
    const what = `${JSON.stringify(content)} as token ${id}: the tokenizer library makes it ${actual}`;
    throw refused(TOKENIZER_FILE, what);
  }
  for (const token of found) {
    if (token === null) continue;
    while (tokens.length <= token.id) tokens.push(undefined);
    tokens[token.id] = token.token;
  }
  // What was meant for WordPiece would take spaces from BPE that belong there.
  const cleansSpaces = config?.clean_up_tokenization_spaces === true && file.model.type !== 'BPE';
  const special = [...file.added_tokens, ...added].filter((token) => token.special);
  return new Tokenizer({
    encoder,
    decoder: readTokenDecoder(sections.decoder, { fileName: TOKENIZER_FILE, cleansSpaces }),
    tokens,
    specialContents: new Set([...special, ...specialTokens.all].map(contentOf)),
    eosTokenIds: specialTokens.eosContents.flatMap((content) => foundOf.get(content)?.id ?? []),
  });
}
