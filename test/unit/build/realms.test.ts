import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const SRC = new URL('../../../src/', import.meta.url);

/** Classes that a VM context has of its own, beside those that Node's values are of. */
const OF_THE_REALM =
  /instanceof (\w*Error|Array|Object|Map|Set|Date|RegExp|Promise|\w*Array|ArrayBuffer|URL|AbortSignal)\b/;

test.each(['host', 'jobs', 'protocol'])(
  'what runs in the host, as src/%s does, tells no value by a class of its realm',
  (folder) => {
    const files = readdirSync(new URL(folder, SRC), { recursive: true, encoding: 'utf8' });
    const sources = files.filter((file) => file.endsWith('.ts'));
    expect(sources.length).toBeGreaterThan(5);
    const found = sources.flatMap((file) => {
      const text = readFileSync(new URL(`${folder}/${file}`, SRC), 'utf8');
      const match = OF_THE_REALM.exec(text.replaceAll('instanceof PermafrostError', ''));
      return match === null ? [] : [`${file}: ${match[0]}`];
    });
    expect(found).toEqual([]);
  },
);
