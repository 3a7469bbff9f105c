// Text threads like dist/text/main.js that a prompt can disturb: KILL ends the process as a system
// out of memory does, LOOP never ends.

const main = new URL('../../../dist/text/main.js', import.meta.url);
const { describe, prepare: prepareInPeace } = await import(main.href);

export { describe };
export const { detokenize, decode, nameTokens, maskTokens } = await import(main.href);

export async function prepare(threadJob) {
  const { job, progress } = threadJob;
  // A thread that still loads its checkpoint is at no row.
  await describe();
  for (const [index, prompt] of job.prompts.entries()) {
    Atomics.store(progress, 0, index + 1);
    if (typeof prompt !== 'string') continue;
    if (prompt.includes('KILL')) process.kill(process.pid, 'SIGKILL');
    if (prompt.includes('LOOP')) for (;;);
  }
  return prepareInPeace(threadJob);
}
