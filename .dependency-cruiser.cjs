// Who may import whom. The picture is in docs/architecture.md, "Import rules". The include rules of
// native/ are in tools/build/check-native-includes.js; `npm run lint:imports` checks both.

/** A folder of src and what it may import besides itself. */
const mayImport = {
  cli: ['queue', 'jobs', 'host', 'hub', 'protocol'],
  queue: ['jobs', 'protocol'],
  jobs: ['host', 'locks', 'protocol'],
  host: ['hub', 'protocol'],
  hub: ['locks', 'protocol'],
  locks: ['protocol'],
  scheduler: ['protocol'],
  workers: ['protocol'],
  text: ['protocol'],
  protocol: [],
};

/** A package and the files of src that may import it. */
const packageHomes = {
  msgpackr: '^src/protocol/codec\\.ts$',
  piscina: '^src/scheduler/pools/',
  eventemitter3: '^src/host/',
  commander: '^src/cli/',
  // Optional: loaded when a queue is named.
  bullmq: '^src/queue/',
  ioredis: '^src/queue/',
  // Where input from outside is validated: options and messages, checkpoint files, batch files.
  zod: '^src/(protocol/|scheduler/generation-config\\.ts$|text/|jobs/(openai-[a-z-]+|finished-row)\\.ts$|queue/)',
  tokenizers: '^src/text/rust-tokenizer\\.ts$',
  '@aws-sdk/[^/]+': '^src/jobs/remote/s3-store\\.ts$',
  '@huggingface/hub': '^src/hub/hub-api\\.ts$',
  '@mlc-ai/[^/]+': '^src/text/',
};

const folderRules = Object.entries(mayImport).map(([folder, allowed]) => ({
  name: `${folder}-imports`,
  comment: `src/${folder} may import ${['itself', ...allowed].join(', ')}`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: '^src/', pathNot: `^src/(${[folder, ...allowed].join('|')})/` },
}));

const packageRules = Object.entries(packageHomes).map(([name, home]) => ({
  name: `one-home-${name.replace(/\W+/g, '-')}`,
  comment: `${name} may be imported by ${home} only`,
  severity: 'error',
  from: { path: '^src/', pathNot: home },
  to: { path: `(^|/)node_modules/${name}/` },
}));

module.exports = {
  forbidden: [
    ...folderRules,
    ...packageRules,
    {
      name: 'jobs-know-host-types-only',
      comment: 'a job gets its engine from the caller',
      severity: 'error',
      from: { path: '^src/jobs/' },
      to: { path: '^src/host/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'entries-are-reached-by-url',
      comment: 'the main files of processes and threads are started, never imported',
      severity: 'error',
      from: {},
      to: {
        path: '^src/((scheduler|workers|text|cli)/(encoder-)?main|jobs/line-thread)\\.ts$',
      },
    },
    {
      name: 'index-is-for-outsiders',
      comment: 'src/index.ts is the public face; inside, import the file itself',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/require\\.cts$' },
      to: { path: '^src/index\\.ts$' },
    },
    {
      name: 'index-exports-public-parts',
      comment: 'src/index.ts exports from host, hub, queue, jobs and protocol',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { path: '^src/', pathNot: '^src/(host|hub|queue|jobs|protocol)/' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-dependencies',
      comment: 'src may import what package.json lists under dependencies, and Node',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        // Optional peers, which the tests need too.
        pathNot: '(^|/)node_modules/(@aws-sdk|bullmq|ioredis)/',
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'npm-optional'],
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node'] },
  },
};
