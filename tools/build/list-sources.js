// Prints the .cc files directly in the given folders, for binding.gyp.
import { readdirSync } from 'node:fs';

for (const folder of process.argv.slice(2)) {
  for (const name of readdirSync(folder).sort()) {
    if (name.endsWith('.cc')) console.log(`${folder}/${name}`);
  }
}
