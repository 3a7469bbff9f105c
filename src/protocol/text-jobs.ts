/**
 * The messages of the text pool: its tasks, what each takes and what it gives back. A job carries
 * many rows, because a call into the pool costs about 100 µs; a row that fails fails alone.
 *
 * The pool's file is `text/main.js`, reached by URL, with a {@link TextPoolData} as `workerData`;
 * its tasks are exported under the names in {@link TextTasks}.
 */

import type { ErrorRecord } from './errors.js';
import type { ChatMessage } from './requests.js';

/** What each thread of the text pool is started with. */
export interface TextPoolData {
  /** The checkpoint folder. */
  readonly model: string;
  /** Whether the thread gets prompts; otherwise it keeps no tokenizer's process. */
  readonly takesPrompts: boolean;
  /** What a tokenizer's process may take for one text. */
  readonly memoryBytes: number;
}

/** A job on its way to a thread, which says in `progress` how far it has come. */
export interface ThreadJob<Job> {
  readonly job: Job;
  readonly progress: TextProgress;
}

/** What a thread and whoever watches it share: [4] words, by the names of {@link PROGRESS}. */
export type TextProgress = Int32Array;

export const PROGRESS = {
  /** Of the thread: 0 = the checkpoint is being loaded, n = row n - 1 is under way. */
  row: 0,
  /** Of the thread: the tokenizer's process that is at the row's text; 0 = none, or {@link ENCODER_STARTS}. */
  encoder: 1,
  /** Of the watch: what `row` was when it ended that process; 0 = it has not. */
  cutRow: 2,
  /** Of the watch: why, as {@link CUT}. */
  cutReason: 3,
} as const;

/** One is being started: that takes no time of the row. */
export const ENCODER_STARTS = -1;

/** Why a row is cut off. */
export const CUT = { time: 1, memory: 2 } as const;

export function newProgress(): TextProgress {
  return new Int32Array(new SharedArrayBuffer(4 * Object.keys(PROGRESS).length));
}

/** What the checkpoint offers for text, or why its files can't be used. */
export type TextReport =
  | {
      readonly kind: 'ready';
      readonly hasTokenizer: boolean;
      readonly hasChatTemplate: boolean;
      /** Ids below this one may be tokens; 0 without a tokenizer. */
      readonly vocabSize: number;
      /** What the tokenizer's files say; `generation_config.json` may name more. */
      readonly eosTokenIds: readonly number[];
      /** What is damaged but not needed by everyone, such as a chat template. */
      readonly warnings: readonly string[];
    }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };

/** Text gets the tokenizer's own begin-of-sequence tokens; a chat template writes its own. */
export type TextPrompt =
  | string
  | {
      readonly messages: readonly ChatMessage[];
      /** More variables for the template, such as `enable_thinking`. */
      readonly templateOptions?: Readonly<Record<string, unknown>>;
    };

export interface PrepareJob {
  readonly prompts: readonly TextPrompt[];
  /** Whether it may take long: such jobs have threads of their own, so that nobody waits for them. */
  readonly isLong: boolean;
  /** How long a chat template may take. */
  readonly templateTimeoutMs: number;
  /** How long one prompt may take before its thread is ended. */
  readonly rowTimeoutMs: number;
  /** How long before the tokenizer's process is ended that is at it: that long at most. */
  readonly encodeTimeoutMs: number;
}

/** In the order of the job's prompts; the last ones may be missing, and are to be asked for again. */
export type PreparedRow = { readonly tokenIds: Int32Array } | { readonly error: ErrorRecord };

/** Ids as they come: from a step block or from a finished row. */
export type TokenIds = Int32Array | readonly number[];

/** How far the text of a sequence's ids is certain: plain data. */
export interface TextState {
  /** No token with text has come yet. */
  readonly isFirst: boolean;
  /** Leading characters that the tokenizer's decoder removes and that may still come. */
  readonly numToDrop: number;
  /** Bytes of which what comes next decides: the start of a UTF-8 sequence or a run of byte tokens. */
  readonly pendingBytes: readonly number[];
  /** For a run of byte tokens: the number of the sequence's tokens up to each byte. */
  readonly pendingEnds: readonly number[];
  /** Text whose spaces what comes next may clean up. */
  readonly uncleaned: string;
}

/** One sequence's detokenizer between two jobs: plain data that its owner keeps. */
export interface DetokenizerState {
  readonly growing: TextState;
  /** Text that may turn out to be the start of a stop string. */
  readonly heldText: string;
  /** Tokens seen so far. */
  readonly numTokens: number;
  /** A stop string was found: what comes after it is ignored. */
  readonly stopped: boolean;
}

export interface DetokenizeRow {
  /** null: the sequence's first row. */
  readonly state: DetokenizerState | null;
  /** In the first row: the prompt's last ids, enough to tell whether text goes before. */
  readonly before?: TokenIds;
  /** What was generated since the last row, without the id that ended the text. */
  readonly tokenIds: TokenIds;
  /** Nothing comes after this row: gives out what was held back. */
  readonly isLast: boolean;
  /** The same strings in every row of a sequence. */
  readonly stop?: readonly string[];
  /** Stop strings that this many first tokens complete do not count. Default 0; the same in every row. */
  readonly minTokens?: number;
}

export interface DetokenizeJob {
  readonly rows: readonly DetokenizeRow[];
}

/** The stop string that ended a text. */
export interface StopHit {
  /** Its place in the row's `stop`. */
  readonly stopIndex: number;
  /** Tokens of the sequence up to and including the one that completed the stop string. */
  readonly numTokens: number;
}

/** In the order of the job's rows; `text` is what the row's tokens added. */
export type DetokenizedRow =
  | { readonly state: DetokenizerState; readonly text: string; readonly stopped?: StopHit }
  | { readonly error: ErrorRecord };

/** Whole sequences at once: what {@link DetokenizeJob} gives in pieces. */
export interface DecodeJob {
  readonly rows: readonly DecodeRow[];
}

export interface DecodeRow {
  readonly tokenIds: TokenIds;
  /** As in {@link DetokenizeRow}. */
  readonly before: TokenIds;
}

export type DecodedRow = { readonly text: string } | { readonly error: ErrorRecord };

/** Ids to name one by one, for log-probabilities. */
export interface NameTokensJob {
  readonly rows: readonly TokenIds[];
}

/** The bytes of a row's ids, one after the other; none for an id without text. */
export interface TokenNames {
  readonly bytes: Uint8Array;
  /** [ids]: where each id's bytes end. */
  readonly ends: Int32Array;
  /** [ids]: 1 for a special token, of which the bytes are its name. */
  readonly isSpecial: Uint8Array;
}

export type NamedRow = TokenNames | { readonly error: ErrorRecord };

/** What a text has to be. */
export interface JsonConstraint {
  /** JSON text. */
  readonly schema: string;
  /** What of the schema can't be guaranteed is an error; otherwise it is left out and said. */
  readonly isStrict: boolean;
}

/** What may come next in texts that JSON schemas constrain. */
export interface MaskJob {
  /** Whether a schema of it may take long to compile: like {@link PrepareJob.isLong}. */
  readonly isLong: boolean;
  /** How long one row may take before its thread is ended. */
  readonly rowTimeoutMs: number;
  /** Of the rows, each once. */
  readonly constraints: readonly JsonConstraint[];
  readonly rows: readonly MaskRow[];
  /** Sequences that won't be asked for again. */
  readonly ended: readonly number[];
  /** Tokens of the model. */
  readonly vocabSize: number;
  /** Ids that end a text: possible where it is complete, and nowhere else. */
  readonly endTokenIds: readonly number[];
}

export interface MaskRow {
  /** Unique among all sequences of the engine; threads remember by it how far they have come. */
  readonly sequence: number;
  /** The constraint's place in the job. */
  readonly constraintIndex: number;
  /** All that was generated, so that any thread can answer. */
  readonly tokenIds: TokenIds;
}

/** In the order of the job's rows; the last ones may be missing, and are to be asked for again. */
export type MaskedRow =
  | {
      /** [⌈vocabSize / 32⌉]: bit i of word j set if token 32 j + i may come next. At least one is. */
      readonly words: Int32Array;
      /** What the row took, with its schema's compilation where the thread did not know it. */
      readonly elapsedMs: number;
      /** Of a sequence's first row: what of its schema is not enforced, each with its place. */
      readonly notes?: readonly string[];
    }
  | { readonly error: ErrorRecord };

/** The pool's tasks by name. What goes wrong is in the result; they reject when their thread ends. */
export interface TextTasks {
  /** Resolves when this thread's tokenizer is loaded. */
  describe(): Promise<TextReport>;
  prepare(job: PrepareJob, progress?: TextProgress): Promise<readonly PreparedRow[]>;
  detokenize(job: DetokenizeJob, progress?: TextProgress): Promise<readonly DetokenizedRow[]>;
  decode(job: DecodeJob, progress?: TextProgress): Promise<readonly DecodedRow[]>;
  nameTokens(job: NameTokensJob, progress?: TextProgress): Promise<readonly NamedRow[]>;
  maskTokens(job: MaskJob, progress?: TextProgress): Promise<readonly MaskedRow[]>;
}
