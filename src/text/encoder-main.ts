/**
 * Entry of an encoder's process: the tokenizer library, apart from all else, since it ends its
 * process where a regular expression gives up, and nothing else stops it in the middle of a text.
 * The process lives as long as its channel.
 */

import { writeFileSync } from 'node:fs';
import { PermafrostError } from '../protocol/errors.js';
// Nothing else is imported here: the process is to be there soon.
import type { EncoderReply, EncoderRequest } from './encoder.js';
import { RustTokenizer } from './rust-tokenizer.js';

/** At once: `process.exit` would wait for the library. */
function kill(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** A system that is out of memory ends this process, and not one that others need. */
function offerFirst(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // The system has no such file, and chooses by itself.
  }
}

let encoder: RustTokenizer | null = null;

async function answer(request: EncoderRequest): Promise<EncoderReply | null> {
  if (request.kind === 'load') {
    encoder = new RustTokenizer(request.json);
    return null;
  }
  if (encoder === null) throw new PermafrostError('ERR_INTERNAL', 'no tokenizer is loaded');
  if (request.kind === 'complete') {
    return { kind: 'completed', found: await encoder.complete(request.changes) };
  }
  const { text, addSpecialTokens } = request;
  return { kind: 'encoded', tokenIds: await encoder.encode(text, addSpecialTokens) };
}

offerFirst();
// What a terminal or a service manager sends to everybody is answered elsewhere.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
process.on('disconnect', kill);
process.on('message', (request: EncoderRequest) => {
  answer(request)
    .catch((error: unknown): EncoderReply => {
      return { kind: 'failed', error: PermafrostError.toRecord(error) };
    })
    .then((reply) => {
      // Nobody is left to hear it when it can't be sent.
      if (reply !== null) process.send?.(reply, (error: Error | null) => error !== null && kill());
    });
});
