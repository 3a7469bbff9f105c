// An engine without a model: every step takes the same time and gives each running sequence a token,
// as a device does. Its answers depend on the prompt alone.

const DEVICE = 'stand-in:0';

/** A sequence of a batch: waits for a slot, runs for as many steps as it has tokens, ends. */
class Sequence {
  constructor(index, request, finish) {
    this.index = index;
    this.request = request;
    this.finish = finish;
    this.stepsLeft = request.params?.maxTokens ?? 1;
  }
}

export class StandInEngine {
  isClosed = false;
  #slots;
  #stepMs;
  #onStart;
  #waiting = [];
  #running = [];
  #timer = null;
  #steppedAt = 0;

  /** @param onStart called with each request that gets a slot. */
  constructor({ slots = 8, stepMs = 2, onStart = () => {} } = {}) {
    this.#slots = slots;
    this.#stepMs = stepMs;
    this.#onStart = onStart;
  }

  async metrics() {
    return {
      devices: [
        {
          device: DEVICE,
          numSlots: this.#slots,
          runningSequences: this.#running.length,
          waitingSequences: this.#waiting.length,
        },
      ],
    };
  }

  async *batch(requests, { signal } = {}) {
    const finished = [];
    let numOpen = 0;
    let wake = () => {};
    const finish = (row) => {
      numOpen -= 1;
      finished.push(row);
      wake();
    };
    const mine = [];
    for await (const request of requests) {
      const sequence = new Sequence(mine.length, request, finish);
      mine.push(sequence);
      numOpen += 1;
      this.#waiting.push(sequence);
    }
    this.#admit();
    const abort = () => {
      for (const sequence of mine) this.#drop(sequence, 'abort');
    };
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      for (;;) {
        while (finished.length > 0) yield finished.shift();
        if (numOpen === 0) return;
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends all that is open with an error, as an engine whose device is lost for good. */
  lose(error) {
    this.isClosed = true;
    for (const sequence of [...this.#running, ...this.#waiting])
      this.#drop(sequence, 'abort', error);
  }

  #admit() {
    while (this.#running.length < this.#slots && this.#waiting.length > 0) {
      const sequence = this.#waiting.shift();
      this.#running.push(sequence);
      this.#onStart(sequence.request, this);
    }
    if (this.#running.length === 0 || this.#timer !== null) return;
    this.#steppedAt = performance.now();
    this.#timer = setInterval(() => this.#step(), this.#stepMs);
  }

  /** As many steps as the time that is over has room for: a late timer makes no slow device. */
  #step() {
    const numSteps = Math.floor((performance.now() - this.#steppedAt) / this.#stepMs);
    this.#steppedAt += numSteps * this.#stepMs;
    for (let step = 0; step < numSteps && this.#running.length > 0; step += 1) {
      for (const sequence of [...this.#running]) {
        sequence.stepsLeft -= 1;
        if (sequence.stepsLeft <= 0) this.#drop(sequence, 'length');
      }
      this.#admit();
    }
    if (this.#running.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #drop(sequence, finishReason, error) {
    const list = this.#running.includes(sequence) ? this.#running : this.#waiting;
    const at = list.indexOf(sequence);
    if (at === -1) return;
    list.splice(at, 1);
    const { index, request } = sequence;
    const { id = '', prompt } = request;
    sequence.finish(
      error === undefined
        ? { index, id, completion: completionOf(id, prompt, finishReason) }
        : { index, id, error },
    );
  }
}

/** What the stand-in answers. */
export function answerTo(prompt) {
  return [...String(prompt)].reverse().join('');
}

function completionOf(id, prompt, finishReason) {
  const choice = { text: answerTo(prompt), tokenIds: [1], finishReason };
  const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
  return { id, choices: [choice], usage, ...choice };
}
