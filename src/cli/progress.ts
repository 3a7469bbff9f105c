/** Progress on standard error: a live line on a terminal, a line now and then elsewhere. */

import { type LinePart, progressLine } from './progress-line.js';

export interface ProgressState {
  readonly parts: readonly LinePart[];
  /** Nothing more will come of it: told whether it is due or not. */
  readonly isComplete?: boolean;
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

/** What a display needs of a stream. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  /** Characters that were written and that nobody has taken yet. */
  readonly writableLength?: number;
  write(text: string): unknown;
}

/** The display that suits a stream. */
export function createProgress(
  stream: ProgressStream,
  env: Readonly<Record<string, string | undefined>>,
): ProgressDisplay {
  const isLive = stream.isTTY === true && env.TERM !== 'dumb' && env.CI === undefined;
  return isLive ? new LiveProgress(stream) : new LineProgress(stream);
}

const DEFAULT_COLUMNS = 80;
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 120;

/** One line, drawn over itself; as wide as the terminal is at that moment. */
class LiveProgress implements ProgressDisplay {
  readonly intervalMs = 250;
  readonly #stream: ProgressStream;
  /** null: there is no live line. */
  #parts: readonly LinePart[] | null = null;
  /** Columns that the line on the screen takes. */
  #drawnWidth = 0;
  #frame = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  show({ parts }: ProgressState): void {
    this.#parts = parts;
    this.#draw();
    this.#timer ??= setInterval(() => {
      this.#frame++;
      this.#draw();
    }, FRAME_MS).unref();
  }

  say(line: string): void {
    this.#clear();
    this.#stream.write(`${line}\n`);
    this.#draw();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#parts = null;
    this.#clear();
  }

  #draw(): void {
    // A terminal that takes nothing gets no more of what will be out of date.
    if (this.#parts === null || (this.#stream.writableLength ?? 0) > 0) return;
    // In the last column a terminal may wrap.
    const width = (this.#stream.columns || DEFAULT_COLUMNS) - 1;
    const frame = `${FRAMES[this.#frame % FRAMES.length]} `.slice(0, width);
    const line = frame + progressLine(this.#parts, width - frame.length);
    this.#stream.write(`${this.#toStart()}${line}\x1b[J`);
    this.#drawnWidth = line.length;
  }

  #clear(): void {
    if (this.#drawnWidth === 0) return;
    this.#stream.write(`${this.#toStart()}\x1b[J`);
    this.#drawnWidth = 0;
  }

  /** To where the line begins: a terminal that has become narrower has broken it into several. */
  #toStart(): string {
    const columns = this.#stream.columns || DEFAULT_COLUMNS;
    const above = Math.ceil(this.#drawnWidth / columns) - 1;
    return above > 0 ? `\x1b[${above}A\r` : '\r';
  }
}

/** Of an interval, what has to be over for a new line: a timer may be a little early. */
const DUE_SHARE = 0.9;

class LineProgress implements ProgressDisplay {
  readonly intervalMs = 10_000;
  readonly #stream: ProgressStream;
  #lastLine = '';
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  show({ parts, isComplete = false }: ProgressState): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastMs < this.intervalMs * DUE_SHARE && !isComplete) return;
    const line = progressLine(parts, Number.POSITIVE_INFINITY);
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
