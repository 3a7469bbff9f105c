// Finds the CUDA toolkit, for binding.gyp. Prints one of:
//   nvcc     the compiler; nothing when there is none, and the addon is built without CUDA
//   include  the folder of cuda_runtime.h
//   runtime  the static runtime library
//   archs    nvcc's options for the architectures in PERMAFROST_CUDA_ARCHS ("80;90" unless set):
//            code for each of them, and PTX of the newest for GPUs newer still; for 90 it is code
//            for sm_90a, which the same GPUs run, since kernels use matrix units that only it has
// PERMAFROST_CUDA_ARCHS=none builds the addon without CUDA where a toolkit is installed.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const OLDEST = 12; // the first with C++20
const archs = process.env.PERMAFROST_CUDA_ARCHS || '80;90';

/** The executables to try, in order of preference. */
function candidates() {
  const { PATH = '', CUDA_HOME, CUDA_PATH } = process.env;
  const homes = [CUDA_HOME, CUDA_PATH].filter(Boolean).map((home) => join(home, 'bin'));
  return [...homes, ...PATH.split(delimiter).filter(Boolean), '/usr/local/cuda/bin']
    .map((folder) => join(folder, 'nvcc'))
    .filter((path) => existsSync(path));
}

/** The folders behind an option (-I, -L) on nvcc's line `name`. */
function foldersOf(dryRun, name, option) {
  const line = dryRun.split('\n').find((text) => text.startsWith(`#$ ${name}=`)) ?? '';
  return [...line.matchAll(new RegExp(`"${option}([^"]+)"`, 'g'))].map(([, folder]) => folder);
}

function locate(folders, file) {
  return folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
}

/** The toolkit around an nvcc, or what is wrong with it. */
function inspect(nvcc) {
  const version = spawnSync(nvcc, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  const release = /release (\d+)\.(\d+)/.exec(version);
  if (release === null) return { problem: 'it does not run' };
  if (Number(release[1]) < OLDEST) {
    return { problem: `it is of CUDA ${release[1]}.${release[2]}, and C++20 needs ${OLDEST}` };
  }
  const dryRun = spawnSync(nvcc, ['--dryrun', '-c', 'none.cu'], { encoding: 'utf8' }).stderr ?? '';
  const header = locate([...foldersOf(dryRun, 'INCLUDES', '-I'), '/usr/include'], 'cuda_runtime.h');
  const runtime = locate(
    [
      ...foldersOf(dryRun, 'LIBRARIES', '-L'),
      `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`,
    ],
    'libcudart_static.a',
  );
  if (header === undefined) return { problem: 'its cuda_runtime.h is missing' };
  if (runtime === undefined) return { problem: 'its libcudart_static.a is missing' };
  return { nvcc, include: join(header, '..'), runtime };
}

function find() {
  for (const nvcc of archs === 'none' ? [] : candidates()) {
    const toolkit = inspect(nvcc);
    if (toolkit.problem === undefined) return toolkit;
    console.error(`permafrost: ${nvcc} is left aside: ${toolkit.problem}`);
  }
  return { nvcc: '', include: '', runtime: '' };
}

function architectureOptions() {
  const names = archs === 'none' ? [] : archs.split(/[;,\s]+/);
  for (const name of names) {
    if (!/^\d{2,3}[af]?$/.test(name)) {
      throw new Error(`PERMAFROST_CUDA_ARCHS: '${name}' is no architecture such as 80 or 90`);
    }
  }
  names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const codes = names
    .map((name) => (name === '90' ? '90a' : name))
    .map((name) => [name, `sm_${name}`]);
  const ptx = names.slice(-1).map((name) => [name, `compute_${name}`]);
  return [...codes, ...ptx]
    .map(([arch, code]) => `-gencode=arch=compute_${arch},code=${code}`)
    .join(' ');
}

const wanted = process.argv[2];
if (wanted === 'archs') console.log(architectureOptions());
else console.log(find()[wanted]);
