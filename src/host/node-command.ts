/**
 * Finds the Node that runs the scheduler process. That is the one of this process, unless it is an
 * application that would start itself again: a single executable, Electron, pkg.
 */

import { execFile } from 'node:child_process';
import { accessSync, constants, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { PermafrostError } from '../protocol/errors.js';
import { SCHEDULER_MARKER } from '../protocol/scheduler-marker.js';

const MIN_MAJOR = 20;
/** What runs in this process, whatever became of the file that it was: an update may have come. */
const OWN_EXECUTABLE = '/proc/self/exe';
const PROBE = `process.versions.bun || process.versions.deno ? '' : 'node ' + process.versions.node`;
/** A Node answers in 40 ms; an application that is none may never do. */
const PROBE_TIMEOUT_MS = 20_000;

export interface NodeCommand {
  /** What is executed. */
  readonly path: string;
  /** The path by which people know it. */
  readonly name: string;
  /** What its environment must have besides. */
  readonly env: Readonly<Record<string, string>>;
  /** It is the program of this process, as which it was started. */
  readonly isOwn: boolean;
}

export interface NodeSearch {
  /** What the user named: a path, or a name to look for on the PATH; null = nothing. */
  readonly nodePath: string | null;
  /** Without NODE_OPTIONS. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** @throws ERR_PROCESS when there is none, ERR_BAD_OPTION when what was named is none. */
export async function findNode(search: NodeSearch): Promise<NodeCommand> {
  const { nodePath, env } = search;
  if (nodePath !== null) {
    const path = nodePath.includes('/') ? nodePath : onPath(nodePath, env)[0];
    const problem = path === undefined ? 'it is not on the PATH' : await probe(path, {}, search);
    if (path !== undefined && problem === null) return { path, name: path, env: {}, isOwn: false };
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `nodePath (or PERMAFROST_NODE): '${nodePath}' is no Node ${MIN_MAJOR} or later: ${problem}`,
    );
  }
  const application = describeApplication();
  if (application === null) return { ...ownExecutable(), env: {}, isOwn: true };

  const asNode = { ELECTRON_RUN_AS_NODE: '1' };
  const candidates = [
    ...(application === 'Electron' ? [{ path: process.execPath, env: asNode }] : []),
    ...onPath('node', env).map((path) => ({ path, env: {} })),
  ];
  const problems: string[] = [];
  for (const candidate of candidates) {
    const problem = await probe(candidate.path, candidate.env, search);
    if (problem === null) return { ...candidate, name: candidate.path, isOwn: false };
    problems.push(`'${candidate.path}': ${problem}`);
  }
  throw new PermafrostError(
    'ERR_PROCESS',
    `this process is ${application} ('${process.execPath}'), which would start itself again, and there is no Node ${MIN_MAJOR} or later to run the scheduler process (${problems.join('; ') || "no 'node' on the PATH"}): install one, or name it in the option nodePath or in PERMAFROST_NODE`,
  );
}

/** What this process is, as a noun, when its program does not run the script that it is given. */
function describeApplication(): string | null {
  const { versions } = process;
  if (versions.electron !== undefined) return 'Electron';
  if (versions.bun !== undefined) return 'Bun';
  if (versions.deno !== undefined) return 'Deno';
  if (versions.pkg !== undefined || 'pkg' in process) return 'an executable made with pkg';
  if (versions.nexe !== undefined || '__nexe' in process) return 'an executable made with nexe';
  // Where node:sea does not tell yet, the first argument does: an ordinary one is a script.
  if (isSingleExecutable() || process.argv[1] === process.execPath) return 'a single executable';
  return null;
}

function isSingleExecutable(): boolean {
  try {
    const sea: unknown = createRequire('/')('node:sea');
    return (sea as { isSea(): boolean }).isSea();
  } catch {
    // This Node is older than that module.
    return false;
  }
}

/** Asks the system first: `process.execPath` can be assigned to. */
function ownExecutable(): Pick<NodeCommand, 'path' | 'name'> {
  try {
    return { path: OWN_EXECUTABLE, name: readlinkSync(OWN_EXECUTABLE) };
  } catch {
    // Without a file system of processes.
    return { path: process.execPath, name: process.execPath };
  }
}

/** Every executable of that name on the PATH, the first one first. */
function onPath(name: string, env: NodeJS.ProcessEnv): string[] {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  return folders.map((folder) => join(folder, name)).filter(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why a program is not a Node that will do, as a clause; null when it is one. */
async function probe(
  path: string,
  added: Readonly<Record<string, string>>,
  { env, signal }: NodeSearch,
): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(path, ['-p', PROBE], {
      env: { ...env, ...added, [SCHEDULER_MARKER]: '1' },
      cwd: '/',
      timeout: PROBE_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      ...(signal !== undefined && { signal }),
    });
    const version = /^node ((\d+)\.\S+)\n$/.exec(stdout);
    if (version === null) return 'it does not answer as Node does';
    return Number(version[2]) < MIN_MAJOR ? `it is Node ${version[1]}` : null;
  } catch (error) {
    const { code, killed, message } = error as NodeJS.ErrnoException & { killed?: boolean };
    if (killed === true) return `it did not answer in ${PROBE_TIMEOUT_MS} ms`;
    return typeof code === 'string' ? message : 'it does not answer as Node does';
  }
}
