/**
 * The tokenizer library in a process of its own: see `encoder-main.ts`. Texts are encoded one after
 * the other, so that a process that ends tells which text it was; the next text gets a new one.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { damaged, TOKENIZER_FILE } from './checkpoint-errors.js';
import type {
  Encoder,
  EncoderReply,
  EncoderRequest,
  EncoderWatch,
  FoundTokens,
  TokenizerChanges,
} from './encoder.js';

const ENTRY = new URL('./encoder-main.js', import.meta.url);
/** What runs in this process, whatever became of the file that it was: an update may have come. */
const OWN_EXECUTABLE = '/proc/self/exe';
const MAX_PRINTED = 4096;

interface EncoderProcessOptions {
  readonly watch?: EncoderWatch | undefined;
  /** What the process runs. */
  readonly entry?: URL;
}

/** Encodes in a child process. */
export class EncoderProcess implements Encoder {
  readonly #entry: URL;
  readonly #watch: EncoderWatch | null;
  /** As bytes: it may be needed again, and is smaller so. */
  #json: Buffer;
  #changes: TokenizerChanges | null = null;
  #child: EncoderChild;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(json: string, { watch, entry = ENTRY }: EncoderProcessOptions = {}) {
    this.#entry = entry;
    this.#watch = watch ?? null;
    this.#json = Buffer.from(json);
    this.#child = new EncoderChild(entry);
    this.#child.tell({ kind: 'load', json });
  }

  complete(changes: TokenizerChanges): Promise<FoundTokens> {
    return this.#inTurn(async () => {
      const reply = await this.#child.ask({ kind: 'complete', changes }).catch((cause: unknown) => {
        throw damaged(TOKENIZER_FILE, reasonOf(cause), cause);
      });
      if (reply.kind !== 'completed') throw failure(reply);
      if (changes.json !== null) this.#json = Buffer.from(changes.json);
      this.#changes = { ...changes, json: null };
      return reply.found;
    });
  }

  encode(text: string, addSpecialTokens: boolean): Promise<Int32Array> {
    const request: EncoderRequest = { kind: 'encode', text, addSpecialTokens };
    return this.#inTurn(async () => {
      const reply = await this.#ask(request).catch((error: unknown) => {
        // What somebody else ended is no fault of the text, unless it happens again.
        if (error instanceof EncoderEnd && !error.isOwnFault) return this.#askAgain(request);
        throw error;
      });
      if (reply.kind !== 'encoded') throw failure(reply);
      return reply.tokenIds;
    });
  }

  close(): void {
    this.#child.kill();
  }

  async #ask(request: EncoderRequest): Promise<EncoderReply> {
    if (this.#child.hasEnded) await this.#restart();
    this.#watch?.began(this.#child.pid);
    try {
      return await this.#child.ask(request);
    } catch (error) {
      throw this.#watch?.cutError() ?? error;
    } finally {
      this.#watch?.ended();
    }
  }

  async #askAgain(request: EncoderRequest): Promise<EncoderReply> {
    try {
      return await this.#ask(request);
    } catch (cause) {
      if (!(cause instanceof EncoderEnd) || cause.isOwnFault) throw cause;
      const message = `the tokenizer's process was lost twice at this text, with nothing else to do: ${cause.message}; leave it out`;
      throw new PermafrostError('ERR_POISONED', message, { cause });
    }
  }

  async #restart(): Promise<void> {
    this.#watch?.starting();
    this.#child = new EncoderChild(this.#entry);
    this.#child.tell({ kind: 'load', json: this.#json.toString() });
    if (this.#changes === null) return;
    const reply = await this.#child.ask({ kind: 'complete', changes: this.#changes });
    if (reply.kind !== 'completed') throw failure(reply);
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#lastTurn.then(work, work);
    this.#lastTurn = result;
    return result;
  }
}

function failure(reply: EncoderReply): PermafrostError {
  if (reply.kind === 'failed') return PermafrostError.fromRecord(reply.error);
  return new PermafrostError('ERR_INTERNAL', `the tokenizer's process answered '${reply.kind}'`);
}

interface EndedBy {
  readonly signal: NodeJS.Signals | null;
  readonly isOwnFault: boolean;
}

/** A tokenizer's process that ended instead of answering. */
class EncoderEnd extends PermafrostError {
  /** The library ended it. */
  readonly isOwnFault: boolean;

  constructor(how: string, { signal, isOwnFault }: EndedBy) {
    // A system out of memory ends processes so.
    const code = signal === 'SIGKILL' ? 'ERR_TEXT_LIMIT' : 'ERR_TOKENIZER';
    super(code, `the tokenizer failed: ${how}`);
    this.isOwnFault = isOwnFault;
  }
}

interface Asker {
  readonly resolve: (reply: EncoderReply) => void;
  readonly reject: (error: EncoderEnd) => void;
}

/** One child process and the one request that it is at. */
class EncoderChild {
  readonly #process: ChildProcess;
  #end: EncoderEnd | null = null;
  #asker: Asker | null = null;
  #printed = '';

  constructor(entry: URL) {
    this.#process = fork(entry, {
      execPath: existsSync(OWN_EXECUTABLE) ? OWN_EXECUTABLE : process.execPath,
      execArgv: [],
      // Ids are typed arrays.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      if (this.#printed.length < MAX_PRINTED) this.#printed += chunk.toString();
    });
    this.#process.on('message', (reply: EncoderReply) => {
      this.#asker?.resolve(reply);
      this.#asker = null;
    });
    this.#process.on('error', (error) => {
      if (this.#process.pid !== undefined) return;
      const end = { signal: null, isOwnFault: true };
      this.#takeEnd(new EncoderEnd(`its process could not be started: ${error.message}`, end));
    });
    this.#process.on('close', (code, signal) => {
      const isOwnFault = signal === null || signal === 'SIGABRT' || signal === 'SIGSEGV';
      this.#takeEnd(
        new EncoderEnd(this.#lastWords() ?? describeExit(code, signal), { signal, isOwnFault }),
      );
    });
  }

  /** 0: there is none. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#end !== null;
  }

  tell(request: EncoderRequest): void {
    // A process that can't be told anything has ended, which is heard of elsewhere.
    if (this.#process.connected) this.#process.send(request, () => {});
  }

  ask(request: EncoderRequest): Promise<EncoderReply> {
    if (this.#end !== null) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#asker = { resolve, reject };
      this.tell(request);
    });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #takeEnd(end: EncoderEnd): void {
    this.#end ??= end;
    this.#asker?.reject(this.#end);
    this.#asker = null;
  }

  /** What the library said when it gave up. */
  #lastWords(): string | undefined {
    return /panicked at .*\n(.+)/.exec(this.#printed)?.[1];
  }
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === null) return `its process exited with code ${code}`;
  const isMemory = signal === 'SIGKILL';
  return `its process was ended by ${signal}${isMemory ? ', as for want of memory' : ''}`;
}
