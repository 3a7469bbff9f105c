// The main job, `npm start`: 240 tasks through `permafrost run-batch` with the model that ships
// with this repository, then how many of the answers are right.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const RESULTS = 'results/tasks.jsonl';
const REQUIRED_ACCURACY = 0.97;

const readRows = (name) => readFileSync(path(name), 'utf8').trim().split('\n').map(JSON.parse);

/** Runs the batch, its progress on this terminal; resolves to the summary. */
async function runBatch() {
  const child = spawn(
    process.execPath,
    [path('dist/cli/main.js'), 'run-batch', '--json', '--model', 'models/tiny', '--devices', 'auto']
      .concat(['-i', 'examples/tasks/requests.jsonl', '-o', RESULTS, '--overwrite']),
    { cwd: path('.'), stdio: ['inherit', 'pipe', 'inherit'] },
  );
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (output === '') process.exit(code ?? 1);
  return JSON.parse(output);
}

/** The text of a row, from either endpoint. */
function answerOf({ response }) {
  const choice = response?.body.choices[0];
  return choice?.message?.content ?? choice?.text ?? '';
}

console.log('Permafrost: 240 tasks on models/tiny\n');
mkdirSync(path('results'), { recursive: true });
const summary = await runBatch();
const answers = new Map(readRows(RESULTS).map((row) => [row.custom_id, answerOf(row)]));
const tally = new Map();
for (const { custom_id: id, task, answer } of readRows('examples/tasks/expected.jsonl')) {
  const entry = tally.get(task) ?? { right: 0, total: 0 };
  entry.total += 1;
  if (answers.get(id) === answer) entry.right += 1;
  tally.set(task, entry);
}

console.log('\ntask        right  of    accuracy');
console.log('──────────  ─────  ────  ────────');
let passed = true;
for (const [task, { right, total }] of tally) {
  const accuracy = right / total;
  passed &&= accuracy >= REQUIRED_ACCURACY;
  const percent = `${(100 * accuracy).toFixed(1)} %`;
  console.log(
    `${task.padEnd(10)}  ${String(right).padStart(5)}  ${String(total).padStart(4)}  ${percent.padStart(8)}`,
  );
}
const seconds = summary.elapsedMs / 1000;
const rate = (summary.completionTokens / seconds).toFixed(0);
console.log(`\n${summary.completionTokens} tokens in ${seconds.toFixed(2)} s: ${rate} tokens/s`);
console.log(`results: ${RESULTS}`);
process.exitCode = passed ? 0 : 1;
