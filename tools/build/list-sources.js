// Prints the files directly in the given folders that end in one of --ext's endings (.cc unless
// given), for binding.gyp. Usage: list-sources.js [--ext=.cc,.cu] folder…
import { readdirSync } from 'node:fs';

const [first = '', ...rest] = process.argv.slice(2);
const hasEndings = first.startsWith('--ext=');
const endings = hasEndings ? first.slice('--ext='.length).split(',') : ['.cc'];

for (const folder of hasEndings ? rest : [first, ...rest]) {
  for (const name of readdirSync(folder).sort()) {
    if (endings.some((ending) => name.endsWith(ending))) console.log(`${folder}/${name}`);
  }
}
