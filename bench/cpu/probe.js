// The compiled probe (probe.cc) as an object: `await probe.bandwidth()`, `await probe.fmaPeak()`.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./probe.cc', import.meta.url));

/** Compiles for this very machine (-march=native), so nothing is kept for another day. */
function compile() {
  const root = join(tmpdir(), 'permafrost-bench');
  mkdirSync(root, { recursive: true });
  const folder = mkdtempSync(join(root, 'probe-'));
  const binary = join(folder, 'probe');
  const flags = ['-std=c++20', '-O3', '-march=native', '-pthread'];
  execFileSync(process.env.CXX ?? 'g++', [...flags, SOURCE, '-o', binary], { stdio: 'inherit' });
  return { folder, binary };
}

export class Probe {
  #process;
  #lines;
  #folder;

  constructor(threads) {
    const { folder, binary } = compile();
    this.#folder = folder;
    this.#process = spawn(binary, [String(threads)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async #ask(question) {
    this.#process.stdin.write(`${question}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the probe ended without an answer');
    return Number(value);
  }

  /** Bytes read per second, all threads together. */
  bandwidth() {
    return this.#ask('bandwidth');
  }

  /** FLOP per second of float32 FMAs, all threads together. */
  fmaPeak() {
    return this.#ask('fma');
  }

  close() {
    this.#process.stdin.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
