// A batch over the rows of a SQLite table, each answer written back as it finishes. Only rows without
// an answer are taken, so however a run ended, the next one goes on; rows that failed are tried again.
// A new file gets a table of 200 sums. Run it in the repository's root: node examples/sqlite.js FILE
// The package has the interface of node:sqlite, which later versions of Node bring along.
import { DatabaseSync } from '@photostructure/sqlite';
import { Engine } from 'permafrost';

const PAGE_ROWS = 256;
const REPORT_ROWS = 100;
const params = { temperature: 0, maxTokens: 16 };

/** Opens the file; the write-ahead log makes a transaction per answer cheap. */
function openTable(path) {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  const exists = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'tasks'").get();
  if (!exists) {
    db.exec(`BEGIN;
      CREATE TABLE tasks (id INTEGER PRIMARY KEY, prompt TEXT NOT NULL, answer TEXT, error TEXT);
      WITH RECURSIVE sums (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM sums WHERE a < 200)
        INSERT INTO tasks (prompt) SELECT a || '+' || (7 * a % 100) || '=' FROM sums;
      COMMIT`);
  }
  return db;
}

/** Requests for the rows without an answer, a page at a time: as the engine takes them. */
function* unanswered(db) {
  const page = db.prepare(
    'SELECT id, prompt FROM tasks WHERE answer IS NULL AND id > ? ORDER BY id LIMIT ?',
  );
  for (let last = 0, rows; ; last = rows.at(-1).id) {
    rows = page.all(last, PAGE_ROWS);
    if (rows.length === 0) return;
    yield* rows.map(({ id, prompt }) => ({ id: String(id), prompt, params }));
  }
}

const db = openTable(process.argv[2] ?? 'tasks.db');
const engine = await Engine.start({ model: 'models/tiny' });
try {
  const write = db.prepare('UPDATE tasks SET answer = ?, error = ? WHERE id = ?');
  let done = 0;
  let failed = 0;
  for await (const row of engine.batch(unanswered(db))) {
    if ('error' in row) failed += 1;
    write.run(row.completion?.text ?? null, row.error?.message ?? null, Number(row.id));
    done += 1;
    if (done % REPORT_ROWS === 0) console.log(`${done} rows`);
  }
  console.log(`${done - failed} answered, ${failed} failed`);
} finally {
  await engine.close();
  db.close();
}
