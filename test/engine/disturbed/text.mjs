// Text threads like dist/text/main.js that a prompt or a JSON schema can disturb: KILL ends the process
// as a system out of memory does, LOOP never ends.

const main = new URL('../../../dist/text/main.js', import.meta.url);
const inPeace = await import(main.href);

export const { describe, detokenize, decode, nameTokens } = inPeace;

export async function prepare(threadJob) {
  disturb(threadJob, threadJob.job.prompts);
  return inPeace.prepare(threadJob);
}

export async function maskTokens(threadJob) {
  // The schemas are in the job, and all rows of a job have the same one.
  disturb(threadJob, [JSON.stringify(threadJob.job)]);
  return inPeace.maskTokens(threadJob);
}

function disturb({ progress }, texts) {
  for (const [index, text] of texts.entries()) {
    if (typeof text !== 'string') continue;
    if (text.includes('KILL')) {
      Atomics.store(progress, 0, index + 1);
      process.kill(process.pid, 'SIGKILL');
    }
    if (text.includes('LOOP')) {
      Atomics.store(progress, 0, index + 1);
      for (;;);
    }
  }
}
