// Counts the JSON schemas of a folder that are taken, strictly and with `strict: false`, and says why
// others are not. A schema is a .json file that names its $schema, or has properties or definitions.
// Usage, after a build: count-schemas.js FOLDER
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonSchema } from '../../dist/text/schemas/json-schema.js';

const LEADS_OUT = 'it leads out of the schema';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: count-schemas.js FOLDER');
  process.exit(2);
}

function* jsonFiles(path) {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) yield* jsonFiles(inner);
    else if (entry.isFile() && entry.name.endsWith('.json')) yield inner;
  }
}

/** The text of a file's schema; null for another file. */
function schemaText(path) {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    const isSchema =
      isObject && ['$schema', 'properties', 'definitions'].some((name) => name in value);
    return isSchema ? JSON.stringify(value) : null;
  } catch {
    // Comments and broken files are no schemas.
    return null;
  }
}

/** null = the schema is taken. */
function complaint(text, isStrict) {
  try {
    readJsonSchema(text, isStrict);
    return null;
  } catch (error) {
    return error.message;
  }
}

const texts = new Set();
for (const path of jsonFiles(folder)) {
  const text = schemaText(path);
  if (text !== null) texts.add(text);
}
const counts = { strict: 0, loose: 0, leadOut: 0, slowestMs: 0 };
const reasons = new Map();
for (const text of texts) {
  const started = process.cpuUsage();
  const reason = complaint(text, true);
  counts.slowestMs = Math.max(counts.slowestMs, process.cpuUsage(started).user / 1000);
  if (reason === null) counts.strict++;
  else if (reason.endsWith(LEADS_OUT)) counts.leadOut++;
  if (reason !== null) {
    const kind = reason.replace(/#\S*\//, '…/').replace(/\d+/g, 'N');
    reasons.set(kind, (reasons.get(kind) ?? 0) + 1);
  }
  if (complaint(text, false) === null) counts.loose++;
}
console.log(
  `${texts.size} different schemas: ${counts.strict} are taken, ${counts.loose} with strict: false`,
);
console.log(
  `${counts.leadOut} refer to other files; the slowest took ${Math.round(counts.slowestMs)} ms`,
);
for (const [kind, number] of [...reasons].sort(([, one], [, other]) => other - one)) {
  console.log(`${number} × ${kind}`);
}
