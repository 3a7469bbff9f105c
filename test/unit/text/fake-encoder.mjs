// What the processes of encoder-process.test.ts run. A text says how its process ends.

import { existsSync, writeFileSync } from 'node:fs';

process.on('disconnect', () => process.exit(0));

let json = '';
let changes = null;
process.on('message', (request) => {
  if (request.kind === 'load') {
    ({ json } = request);
    return;
  }
  if (request.kind === 'complete') {
    ({ changes } = request);
    process.send({ kind: 'completed', found: changes.contents.map(() => null) });
    return;
  }
  const [action, path] = request.text.split(' ');
  if (action === 'stay') return;
  if (action === 'panic') {
    process.stderr.write("thread 'x' panicked at lib.rs:1:2:\nthe expression gave up\n", () =>
      process.abort(),
    );
  } else if (action === 'exit') process.exit(3);
  else if (action === 'die' || (action === 'die-once' && !existsSync(path))) {
    if (path !== undefined) writeFileSync(path, '');
    process.kill(process.pid, 'SIGKILL');
  } else if (action === 'fail') {
    process.send({ kind: 'failed', error: { code: 'ERR_TOKENIZER', message: 'it failed' } });
  } else {
    const tokenIds = Int32Array.of(process.pid, json.length, changes.added.length);
    process.send({ kind: 'encoded', tokenIds });
  }
});
