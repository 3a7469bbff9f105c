/**
 * How long a step takes: some time in any case, some for every sequence that decodes, and for every
 * prompt token some that grows with its position, since it attends to all before it. Learned from
 * the steps that have run by recursive least squares, in which older steps count less and less
 * (Haykin: Adaptive Filter Theory, chapter on the RLS algorithm).
 */

/** Weight of a step against the one after it: about the last 50 count. */
const FORGETTING = 0.98;
/** Uncertainty of the start, against the scatter of a single step. Never grows beyond. */
const UNCERTAINTY = 10_000;
const NUM_TERMS = 4;
/**
 * So many steps with prompt tokens in a row leave in doubt what decoding alone takes: when they are
 * all alike, whatever makes them longer could be either's doing.
 */
const MAX_MIXED_IN_ROW = 15;

export class StepTimeModel {
  readonly #maxDecode: number;
  readonly #maxPrefillTokens: number;
  /**
   * Microseconds: of any step, of a full batch of sequences, of all prompt tokens of a step, and of
   * as many again for each of them at a position of that number.
   */
  readonly #micros = new Float64Array(NUM_TERMS);
  /** [NUM_TERMS, NUM_TERMS]: the uncertainty of #micros. */
  readonly #covariance = new Float64Array(NUM_TERMS * NUM_TERMS);
  readonly #terms = new Float64Array(NUM_TERMS);
  readonly #gain = new Float64Array(NUM_TERMS);
  #numMixedInRow = 0;
  #mostPrefillTokens = 0;

  /** @param maxDecode Most sequences, and most prompt tokens, of one step. */
  constructor(maxDecode: number, maxPrefillTokens: number) {
    this.#maxDecode = maxDecode;
    this.#maxPrefillTokens = maxPrefillTokens;
    for (let term = 0; term < NUM_TERMS; term++) {
      this.#covariance[term * NUM_TERMS + term] = UNCERTAINTY;
    }
  }

  /** Of a step in which so many sequences decode and nothing else happens; never negative. */
  decodeMicros(numDecode: number): number {
    const [any = 0, full = 0] = this.#micros;
    return Math.max(0, any + (full * numDecode) / this.#maxDecode);
  }

  /** What a prompt token at this position adds; never negative. */
  tokenMicros(position: number): number {
    const tokenMicros = (this.#micros[2] ?? 0) / this.#maxPrefillTokens;
    return Math.max(0, tokenMicros + this.positionMicros * position);
  }

  /** What a prompt token adds for every position before it; never negative. */
  get positionMicros(): number {
    return Math.max(0, (this.#micros[3] ?? 0) / this.#maxPrefillTokens ** 2);
  }

  /** Most prompt tokens of a step so far: what larger ones take is a guess. */
  get mostPrefillTokens(): number {
    return this.#mostPrefillTokens;
  }

  /** Whether a step that only decodes would tell more than another one with prompt tokens. */
  get needsPlainStep(): boolean {
    return this.#numMixedInRow >= MAX_MIXED_IN_ROW;
  }

  /**
   * Takes in how long a step took.
   * @param prefillPositions The sum of its prompt tokens' positions.
   */
  learn(
    numDecode: number,
    numPrefillTokens: number,
    prefillPositions: number,
    micros: number,
  ): void {
    if (numPrefillTokens > 0) this.#numMixedInRow++;
    else this.#numMixedInRow = 0;
    this.#mostPrefillTokens = Math.max(this.#mostPrefillTokens, numPrefillTokens);
    const terms = this.#terms;
    terms[0] = 1;
    terms[1] = numDecode / this.#maxDecode;
    terms[2] = numPrefillTokens / this.#maxPrefillTokens;
    terms[3] = prefillPositions / this.#maxPrefillTokens ** 2;
    let error = micros;
    let scatter = FORGETTING;
    for (let row = 0; row < NUM_TERMS; row++) {
      let product = 0;
      for (let column = 0; column < NUM_TERMS; column++) {
        product += (this.#covariance[row * NUM_TERMS + column] ?? 0) * (terms[column] ?? 0);
      }
      this.#gain[row] = product;
      scatter += product * (terms[row] ?? 0);
      error -= (this.#micros[row] ?? 0) * (terms[row] ?? 0);
    }
    for (let row = 0; row < NUM_TERMS; row++) {
      const gain = (this.#gain[row] ?? 0) / scatter;
      this.#micros[row] = (this.#micros[row] ?? 0) + gain * error;
      for (let column = 0; column < NUM_TERMS; column++) {
        const at = row * NUM_TERMS + column;
        const less = gain * (this.#gain[column] ?? 0);
        this.#covariance[at] = (this.#covariance[at] ?? 0) - less;
      }
    }
    this.#forget();
  }

  /** Makes room for doubt, but not where nothing new is learned for long. */
  #forget(): void {
    let largest = 0;
    for (let term = 0; term < NUM_TERMS; term++) {
      largest = Math.max(largest, this.#covariance[term * NUM_TERMS + term] ?? 0);
    }
    if (largest > UNCERTAINTY * FORGETTING) return;
    for (let at = 0; at < this.#covariance.length; at++) {
      this.#covariance[at] = (this.#covariance[at] ?? 0) / FORGETTING;
    }
  }
}
