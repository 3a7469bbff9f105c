/** Progress on standard error: a live line on a terminal, a line now and then elsewhere. */

import type { Ora } from 'ora';
import { formatBar } from './format.js';

export interface ProgressState {
  /** What is being done. */
  readonly label: string;
  readonly done: number;
  /** null: not known. */
  readonly total: number | null;
  readonly note?: string;
}

export interface ProgressDisplay {
  /** How often there should be news, in milliseconds. */
  readonly intervalMs: number;
  show(state: ProgressState): void;
  /** Writes a line that stays. */
  say(line: string): void;
  /** Takes the live line away. Idempotent; `show` brings it back. */
  stop(): void;
}

/** The display that suits a stream. */
export function createProgress(stream: NodeJS.WriteStream = process.stderr): ProgressDisplay {
  const { TERM, CI } = process.env;
  const isLive = stream.isTTY && TERM !== 'dumb' && CI === undefined;
  return isLive ? new LiveProgress(stream) : new LineProgress(stream);
}

const BAR_WIDTH = 24;
const LABEL_WIDTH = 16;
/** The spinner and the space behind it, and a last column that would make the terminal wrap. */
const MARGIN = 3;

/** `Capturing graphs  ████████░░░░  12/67  cuda:0`, at most `width` characters. */
function progressText({ label, done, total, note = '' }: ProgressState, width: number): string {
  const bar = total === null ? '' : formatBar(total === 0 ? 1 : done / total, BAR_WIDTH);
  const counts = total === null ? String(done) : `${done}/${total}`;
  const parts = total === 0 ? [label, note] : [label.padEnd(LABEL_WIDTH), bar, counts, note];
  return parts
    .filter((part) => part !== '')
    .join('  ')
    .slice(0, width);
}

/** Ora takes 0.1 s to load, in which the start goes on: what is shown by then waits for it. */
class LiveProgress implements ProgressDisplay {
  readonly intervalMs = 250;
  readonly #stream: NodeJS.WriteStream;
  #spinner: Ora | null = null;
  /** What the live line shows, or will; null = there is none. */
  #text: string | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    void this.#load();
  }

  show(state: ProgressState): void {
    this.#text = progressText(state, (this.#stream.columns || 80) - MARGIN);
    if (this.#spinner === null) return;
    this.#spinner.text = this.#text;
    if (!this.#spinner.isSpinning) this.#spinner.start();
  }

  say(line: string): void {
    this.#spinner?.stop();
    this.#stream.write(`${line}\n`);
    if (this.#text !== null) this.#spinner?.start(this.#text);
  }

  stop(): void {
    this.#spinner?.stop();
    this.#text = null;
  }

  async #load(): Promise<void> {
    const { default: ora } = await import('ora');
    // Standard input stays as it is: Ctrl-C must reach the command.
    this.#spinner = ora({ stream: this.#stream, discardStdin: false });
    if (this.#text !== null) this.#spinner.start(this.#text);
  }
}

/** Of an interval, what has to be over for a new line: a timer may be a little early. */
const DUE_SHARE = 0.9;

class LineProgress implements ProgressDisplay {
  readonly intervalMs = 10_000;
  readonly #stream: NodeJS.WriteStream;
  #lastLine = '';
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  show({ label, done, total, note = '' }: ProgressState): void {
    const nowMs = performance.now();
    // What has no parts is told as often as what has parts left.
    const isComplete = done === total && total > 0;
    if (nowMs - this.#lastMs < this.intervalMs * DUE_SHARE && !isComplete) return;
    const counts = total === null ? `${done}` : `${done}/${total}`;
    const line = [label, total === 0 ? '' : counts, note].filter((part) => part !== '').join('  ');
    if (line === this.#lastLine) return;
    this.#lastLine = line;
    this.#lastMs = nowMs;
    this.#stream.write(`${line}\n`);
  }

  say(line: string): void {
    this.#stream.write(`${line}\n`);
  }

  stop(): void {}
}
