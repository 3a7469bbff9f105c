/** Builds and runs the C++ tests: they need no addon in the process, only its objects. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const compiler = process.env.CXX ?? 'g++';
const BUILT = 'build/Release/obj.target';
const ADDON = 'build/Release/permafrost.node';

/** As in binding.gyp. */
const COMMON_FLAGS = ['-std=c++20', '-ffp-contract=off', '-fno-math-errno'];
const INCLUDES = ['-Inative', '-Inative/third_party'];

/** Every test program ends with it. */
export const ALL_PASSED = /^[1-9]\d* passed, 0 failed$/m;

export function sourcesIn(place: string, pattern = /\.cc$/): string[] {
  return readdirSync(place)
    .filter((name) => pattern.test(name))
    .map((name) => join(place, name));
}

/** The addon's objects of `native/cpu`, `native/core` and so on: compiled once, tested as they are. */
export function builtObjects(
  ...layers: readonly ('core' | 'cpu' | 'model' | 'runtime')[]
): string[] {
  checkIsBuilt();
  const isa = ['avx2', 'avx512'].map((name) => `${BUILT}/cpu_${name}/native/cpu/isa`);
  return layers.flatMap((layer) => [
    ...objectsOf(`native/${layer}`),
    ...(layer === 'cpu' ? isa.flatMap((place) => sourcesIn(place, /\.o$/)) : []),
  ]);
}

/** Of the sources that are there now, in the folder and below it: a build keeps older ones. */
function objectsOf(place: string): string[] {
  return readdirSync(place, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.cc') && !name.startsWith('isa/'))
    .map((name) => join(BUILT, 'permafrost', place, name.replace(/\.cc$/, '.o')));
}

function checkIsBuilt(): void {
  const builtAtMs = statSync(ADDON).mtimeMs;
  for (const name of readdirSync('native', { recursive: true, encoding: 'utf8' })) {
    if (!/\.(cc|h)$/.test(name) || statSync(join('native', name)).mtimeMs <= builtAtMs) continue;
    throw new Error(`native/${name} is newer than the addon: npm run build:addon`);
  }
}

/** A folder in which test programs are made. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'permafrost-native-'));

  /** Compiles sources, as many at a time as there are cores, in their order; gives their objects. */
  async compile(
    sources: readonly string[],
    flagsFor: (source: string) => readonly string[],
  ): Promise<string[]> {
    const objects = sources.map((source) => this.#objectOf(source));
    const waiting = [...sources];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const output = ['-x', 'c++', '-c', next, '-o', this.#objectOf(next)];
        await run(compiler, [...COMMON_FLAGS, ...flagsFor(next), ...INCLUDES, ...output]);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
    return objects;
  }

  /** Compiles a header on its own, for the sources that are compiled with the same flags. */
  async compileHeader(header: string, flags: readonly string[]): Promise<void> {
    const output = ['-x', 'c++-header', header, '-o', `${header}.gch`];
    await run(compiler, [...COMMON_FLAGS, ...flags, ...output]);
  }

  async link(name: string, objects: readonly string[]): Promise<string> {
    const program = join(this.folder, name);
    await run(compiler, [...objects, '-o', program, '-lpthread', '-ldl']);
    return program;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #objectOf(source: string): string {
    return join(this.folder, `${source.replaceAll('/', '-')}.o`);
  }
}

/** What a program prints, with its errors where it fails; it is printed here as well. */
export async function outputOf(program: string, args: readonly string[] = []): Promise<string> {
  const result = await run(program, args, { timeout: 280_000 }).catch(
    (error: { stdout?: string; stderr?: string; message: string }) => ({
      stdout: `${error.stdout ?? ''}\n${error.stderr ?? ''}\n${error.message}`,
    }),
  );
  const output = result.stdout.trim();
  console.log(`${basename(program)}\n${output}`);
  return output;
}
