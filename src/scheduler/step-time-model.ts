/**
 * How long a step takes: some time in any case, and some for every sequence that decodes and for
 * every prompt token. Learned from the steps that have run by recursive least squares, in which
 * older steps count less and less (Haykin: Adaptive Filter Theory, chapter on the RLS algorithm).
 */

/** Weight of a step against the one after it: about the last 50 count. */
const FORGETTING = 0.98;
/** Uncertainty of the start, against the scatter of a single step. Never grows beyond. */
const UNCERTAINTY = 10_000;
const NUM_TERMS = 3;

export class StepTimeModel {
  readonly #maxDecode: number;
  readonly #maxPrefillTokens: number;
  /** Microseconds: of any step, of a full batch of sequences, of all prompt tokens of a step. */
  readonly #micros = new Float64Array(NUM_TERMS);
  /** [NUM_TERMS, NUM_TERMS]: the uncertainty of #micros. */
  readonly #covariance = new Float64Array(NUM_TERMS * NUM_TERMS);
  readonly #terms = new Float64Array(NUM_TERMS);
  readonly #gain = new Float64Array(NUM_TERMS);

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

  /** What a prompt token adds; never negative. */
  get tokenMicros(): number {
    return Math.max(0, (this.#micros[2] ?? 0) / this.#maxPrefillTokens);
  }

  /** Takes in how long a step took. */
  learn(numDecode: number, numPrefillTokens: number, micros: number): void {
    const terms = this.#terms;
    terms[0] = 1;
    terms[1] = numDecode / this.#maxDecode;
    terms[2] = numPrefillTokens / this.#maxPrefillTokens;
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
