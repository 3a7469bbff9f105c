// Checks who includes whom in native/: addon → runtime → model → core; cpu and cuda implement core;
// one file names both backends. napi.h only in addon, CUDA's headers only in cuda.
// Usage: check-native-includes.js [folder]
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A folder of native/ and the folders that it may include besides itself. */
const MAY_INCLUDE = {
  addon: ['runtime', 'model', 'core'],
  runtime: ['model', 'core'],
  model: ['core'],
  core: [],
  cpu: ['core'],
  cuda: ['core'],
};

/** The headers that make a backend; one file above them includes them. */
const BACKEND_HEADERS = ['cpu/cpu_backend.h', 'cuda/cuda_backend.h'];

const NAPI = /^(napi|node|v8|uv|js_native_api)([-_].*)?\.h$/;
const CUDA =
  /^(cuda|cublas|cufft|curand|nccl|nvrtc|nvtx|nvml)\w*\.(h|hpp|cuh)$|^(cuda|cub|thrust)\//;
const INCLUDE = /^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]/gm;

const folderOf = (path) => path.split('/')[0];

/** What is wrong with an include, or null. `file` and `header` count from the root. */
function problemWith({ file, header, isQuoted }) {
  const folder = folderOf(file);
  const allowed = MAY_INCLUDE[folder];
  if (allowed === undefined) return 'there is no rule for this folder';
  const target = folderOf(header);
  const isOurs = isQuoted && header.includes('/') && Object.hasOwn(MAY_INCLUDE, target);
  if (!isOurs) {
    if (NAPI.test(header)) return folder === 'addon' ? null : 'belongs in addon';
    if (CUDA.test(header)) return folder === 'cuda' ? null : 'belongs in cuda';
    return isQuoted ? 'quotes are for our own files, by their path from native/' : null;
  }
  if (target === folder || allowed.includes(target)) return null;
  if (BACKEND_HEADERS.includes(header) && allowed.includes('model')) return null;
  return `${folder} may include ${[folder, ...allowed].join(', ')}`;
}

const root = process.argv[2] ?? 'native';
const includes = readdirSync(root, { recursive: true })
  .map(String)
  .filter((file) => /\.(cc|h|cu|cuh)$/.test(file) && folderOf(file) !== 'third_party')
  .flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return [...text.matchAll(INCLUDE)].map(({ index, 1: mark, 2: header }) => {
      const line = text.slice(0, index).split('\n').length;
      return { file, line, header, isQuoted: mark === '"' };
    });
  });

let problems = 0;
function report({ file, line, header }, what) {
  problems++;
  console.error(`${join(root, file)}:${line}: "${header}": ${what}`);
}

for (const include of includes) {
  const what = problemWith(include);
  if (what !== null) report(include, what);
}
const makers = includes.filter(
  ({ file, header }) => BACKEND_HEADERS.includes(header) && folderOf(header) !== folderOf(file),
);
for (const include of makers) {
  if (include.file !== makers[0].file) report(include, `${makers[0].file} names backends already`);
}
console.log(`native includes: ${includes.length} checked, ${problems} problems`);
process.exitCode = problems > 0 ? 1 : 0;
