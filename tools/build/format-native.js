// Checks the format of our C++ and CUDA sources; writes it with --write.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const files = ['native', 'tools/fuzz']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))),
  )

  .filter((name) => /\.(cc|h|cu|cuh)$/.test(name) && !name.startsWith('native/third_party/'));
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror'];
const { status } = spawnSync('node_modules/.bin/clang-format', [...mode, ...files], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
