import { defineConfig } from 'vitest/config';

// unit: pure TypeScript. native: the addon in this process. engine: whole engines, on dist/.
// gpu: needs a CUDA device and says so where there is none.
const project = (name: string, options: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options },
});

export default defineConfig({
  test: {
    pool: 'forks',
    // A test that hangs is to end: how fast one is on a machine that has a lot to do says nothing.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    projects: [
      project('unit', { maxWorkers: 2, sequence: { groupOrder: 0 } }),
      project('native', { maxWorkers: 2, sequence: { groupOrder: 0 } }),
      project('engine', { fileParallelism: false, sequence: { groupOrder: 1 } }),
      project('gpu', { fileParallelism: false, sequence: { groupOrder: 2 } }),
    ],
  },
});
