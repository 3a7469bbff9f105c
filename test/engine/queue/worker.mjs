// A worker on a stand-in engine, in a process of its own. Argument: a JSON object { queue, log, slots,
// stepMs, lockMs, drainMs, untilEmpty, store }. Every row that it finishes and every chunk that is
// completed becomes a line of the log: `row ID`, `done LABEL`. A prompt with the word `kill` ends the
// process when it gets a slot; one with `lose` loses the device for good.

import { appendFileSync } from 'node:fs';
import { StandInEngine } from '../../../bench/queue/stand-in-engine.js';
import { PermafrostError, workOnQueue } from '../../../dist/index.js';

const { log, slots, stepMs, ...options } = JSON.parse(process.argv[2]);
const say = (line) => appendFileSync(log, `${line}\n`);

class LoggedEngine extends StandInEngine {
  async *batch(requests, batchOptions) {
    for await (const row of super.batch(requests, batchOptions)) {
      if (row.completion?.finishReason === 'length') say(`row ${row.id}`);
      yield row;
    }
  }
}

const engine = new LoggedEngine({
  slots,
  stepMs,
  onStart: ({ prompt }, started) => {
    if (prompt.includes('kill')) process.kill(process.pid, 'SIGKILL');
    if (prompt.includes('lose')) {
      started.lose(new PermafrostError('ERR_DEVICE_LOST', 'the device is gone for good'));
    }
  },
});
const work = new AbortController();
process.once('SIGTERM', () => work.abort());
process.stdout.write('ready\n');
try {
  const summary = await workOnQueue(engine, {
    ...options,
    signal: work.signal,
    onEvent: (event) => {
      if (event.kind === 'chunk') say(`done ${event.label}`);
      else say(`${event.kind} ${event.label ?? ''}`.trim());
    },
  });
  process.stdout.write(`${JSON.stringify(summary)}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: { code: error.code, message: error.message } })}\n`);
  process.exitCode = 1;
}
