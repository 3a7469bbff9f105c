/** What turns text to ids: the tokenizer library, in this process or in one of its own. */

import type { ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { AddedToken } from './special-tokens.js';

/** What the files beside tokenizer.json change in it. */
export interface TokenizerChanges {
  /** tokenizer.json with other sections; null: as it is. */
  readonly json: string | null;
  /** Tokens to add, in this order; one that is there already gets these flags. */
  readonly added: readonly AddedToken[];
  /** The tokens that the library is asked for. */
  readonly contents: readonly string[];
}

/** What the library makes of one of {@link TokenizerChanges.contents}. */
export interface FoundToken {
  readonly id: number;
  /** What it decodes to: the content, normalized where the token is. */
  readonly token: string;
}

/** In the order of the contents; null: no such token. */
export type FoundTokens = readonly (FoundToken | null)[];

export interface Encoder {
  /**
   * Completes the tokenizer: to be called once, before anything is encoded.
   *
   * @throws ERR_TOKENIZER when the library refuses it.
   */
  complete(changes: TokenizerChanges): Promise<FoundTokens>;
  /**
   * @param addSpecialTokens Whether the tokenizer puts its own tokens around the text.
   * @throws ERR_TOKENIZER when the library fails on this text, however it fails.
   */
  encode(text: string, addSpecialTokens: boolean): Promise<Int32Array>;
  close(): void;
}

/** Who may end an encoder's process while it is at a text. */
export interface EncoderWatch {
  /** A process is being started for the next text. */
  starting(): void;
  /** This process is at a text from now on. */
  began(pid: number): void;
  /** No process is, any more. */
  ended(): void;
  /** Why the text was cut off, when it was. */
  cutError(): PermafrostError | null;
}

/** Begins to load a tokenizer.json, given as its text. */
export type StartEncoder = (json: string) => Encoder;

/** To an encoder's process. It answers each of these but `load` once, in order. */
export type EncoderRequest =
  | { readonly kind: 'load'; readonly json: string }
  | { readonly kind: 'complete'; readonly changes: TokenizerChanges }
  | { readonly kind: 'encode'; readonly text: string; readonly addSpecialTokens: boolean };

/** From an encoder's process. */
export type EncoderReply =
  | { readonly kind: 'completed'; readonly found: FoundTokens }
  | { readonly kind: 'encoded'; readonly tokenIds: Int32Array }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };
