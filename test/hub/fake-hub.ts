/** A server that speaks the hub's API, and a second one where it sends for large files, as the hub does. */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export type ModelFiles = Readonly<Record<string, Uint8Array | string>>;

interface FakeModel {
  readonly id: string;
  /** Files of each commit. */
  readonly commits: Map<string, ReadonlyMap<string, Buffer>>;
  /** Commits of branches and tags. */
  readonly refs: Map<string, string>;
  readonly access: 'public' | 'private' | 'gated';
}

/** What goes wrong once, at the next request whose path has some words. */
export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The connection ends after so many bytes of the answer's body. */
  | { readonly cutAfter: number }
  /** One byte of the answer is another one. */
  | 'wrong-byte'
  /** The whole file comes, whatever part was asked for. */
  | 'no-ranges'
  /** Nothing comes after the headers. */
  | 'silence'
  | 'not-json';

export interface Request {
  readonly server: 'hub' | 'cdn';
  readonly path: string;
  readonly range: string | null;
  readonly token: string | null;
}

/** Files of at least this size are large ones: in the hub's words, in LFS. */
const LARGE_BYTES = 1024;
export const TOKEN = 'hf_letmein';

export class FakeHub {
  readonly requests: Request[] = [];
  readonly #models = new Map<string, FakeModel>();
  readonly #faults: { readonly words: string; readonly fault: Fault; left: number }[] = [];
  readonly #hub: Server;
  readonly #cdn: Server;
  readonly #claims = new Map<string, number>();
  readonly #held = new Set<() => void>();
  #isHolding = false;
  #onHeld: () => void = () => {};

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer('hub', request, response));
    this.#cdn = createServer((request, response) => this.#answer('cdn', request, response));
  }

  static async start(): Promise<FakeHub> {
    const fake = new FakeHub();
    for (const server of [fake.#hub, fake.#cdn]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    onTestFinished(() => fake.close());
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const server of [this.#hub, this.#cdn]) {
      server.close();
      server.closeAllConnections();
    }
  }

  /** @returns the commit, which main is at from now on. */
  addModel(id: string, files: ModelFiles, access: FakeModel['access'] = 'public'): string {
    const contents = new Map(
      Object.entries(files).map(([name, data]) => [name, Buffer.from(data)]),
    );
    const model = this.#models.get(id) ?? { id, commits: new Map(), refs: new Map(), access };
    const commit = createHash('sha1').update(`${id} ${model.commits.size}`).digest('hex');
    model.commits.set(commit, contents);
    model.refs.set('main', commit);
    this.#models.set(id, model);
    return commit;
  }

  tag(id: string, name: string, commit: string): void {
    this.#models.get(id)?.refs.set(name, commit);
  }

  /** Lets something go wrong, `times` times. */
  fail(words: string, fault: Fault, times = 1): void {
    this.#faults.push({ words, fault, left: times });
  }

  /** Answers of files wait, from now on, until {@link release}. Resolves at the first of them. */
  hold(): Promise<void> {
    this.#isHolding = true;
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  release(): void {
    this.#isHolding = false;
    for (const go of this.#held) go();
    this.#held.clear();
  }

  /** Lists a file with a size that it does not have. */
  claimSize(name: string, sizeBytes: number): void {
    this.#claims.set(name, sizeBytes);
  }

  /** How often a file was asked for, of the server that has its bytes; all files without a name. */
  numDownloads(name: string | null): number {
    const isIt = ({ path }: Request) =>
      path.includes('/resolve/') && (name === null || path.endsWith(`/${name}`));
    const asked = this.requests.filter(isIt);
    const ofCdn = asked.filter(({ server }) => server === 'cdn');
    return ofCdn.length > 0 ? ofCdn.length : asked.length;
  }

  #answer(server: Request['server'], request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.url);
    const path = decodeURIComponent(url.pathname);
    const range = request.headers.range ?? null;
    const token = request.headers.authorization?.replace('Bearer ', '') ?? null;
    this.requests.push({ server, path, range, token });
    const go = () => this.#route(server, path, url, { range, token }, response);
    if (this.#isHolding && path.includes('/resolve/')) {
      this.#held.add(go);
      this.#onHeld();
    } else {
      go();
    }
  }

  #route(
    server: Request['server'],
    path: string,
    url: URL,
    { range, token }: Pick<Request, 'range' | 'token'>,
    response: ServerResponse,
  ): void {
    const isBytes = server === 'cdn' || path.includes('/resolve/');
    const fault = this.#takeFault(server, path);
    if (fault !== null && typeof fault === 'object' && 'status' in fault) {
      response.writeHead(fault.status, fault.headers).end('{"error":"as it was told to"}');
      return;
    }
    if (fault === 'not-json') {
      response.writeHead(200).end('<html>Log in to the airport</html>');
      return;
    }
    const refuse = (status: number, code: string, words: string) => {
      response.writeHead(status, { 'x-error-code': code, 'x-error-message': words }).end();
    };
    const info = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(path);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const [, id = '', , revision = ''] = info ?? [null, file?.[1], null, file?.[2]];
    const model = this.#models.get(id);
    const isKnown = token === TOKEN || server === 'cdn';
    if (token !== null && token !== TOKEN) {
      refuse(401, '', 'Invalid credentials');
      return;
    }
    if (model === undefined || (model.access === 'private' && !isKnown)) {
      refuse(isKnown ? 404 : 401, 'RepoNotFound', 'Repository not found');
      return;
    }
    if (model.access === 'gated' && !isKnown && isBytes) {
      refuse(403, 'GatedRepo', `Access to model ${id} is restricted.`);
      return;
    }
    const commit = model.commits.has(revision) ? revision : model.refs.get(revision);
    const files = model.commits.get(commit ?? '');
    if (commit === undefined || files === undefined) {
      refuse(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
      return;
    }
    if (info?.[2] === 'revision') {
      json(response, { _id: '1', id, sha: commit, lastModified: '2026-01-01T00:00:00.000Z' });
      return;
    }
    if (info !== null) {
      this.#list(files, url, response);
      return;
    }
    const bytes = files.get(file?.[3] ?? '');
    if (bytes === undefined) {
      refuse(404, 'EntryNotFound', 'Entry not found');
      return;
    }
    if (server === 'hub' && bytes.length >= LARGE_BYTES) {
      const { port } = this.#cdn.address() as AddressInfo;
      response.writeHead(302, { location: `http://127.0.0.1:${port}${path}?signed=yes` }).end();
      return;
    }
    send(response, bytes, range, fault);
  }

  /** Two files a page, so that there are pages. */
  #list(files: ReadonlyMap<string, Buffer>, url: URL, response: ServerResponse): void {
    const entries = [...files].map(([path, bytes]) => ({
      type: 'file',
      path,
      ...oidsOf(bytes),
      ...(this.#claims.has(path) && { size: this.#claims.get(path), lfs: undefined }),
    }));
    const at = Number(url.searchParams.get('cursor') ?? 0);
    const next = new URL(url);
    next.searchParams.set('cursor', String(at + 2));
    if (at + 2 < entries.length) response.setHeader('link', `<${next.href}>; rel="next"`);
    json(response, [
      { type: 'directory', path: 'original', size: 0 },
      ...entries.slice(at, at + 2),
    ]);
  }

  /** Faults of bytes happen where the bytes come from. */
  #takeFault(server: Request['server'], path: string): Fault | null {
    const found = this.#faults.find(({ words, left }) => left > 0 && path.includes(words));
    if (found === undefined) return null;
    const isOfBytes = typeof found.fault === 'string' || 'cutAfter' in found.fault;
    const isLarge = isOfBytes && found.words.endsWith('.safetensors');
    if (isLarge && server === 'hub') return null;
    found.left--;
    return found.fault;
  }
}

const knownOids = new WeakMap<Buffer, object>();

/** What the hub's list has of a file. */
function oidsOf(bytes: Buffer): object {
  const known = knownOids.get(bytes);
  if (known !== undefined) return known;
  const size = bytes.length;
  const oid = createHash('sha1').update(`blob ${size}\0`).update(bytes).digest('hex');
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const isLarge = size >= LARGE_BYTES;
  const oids = { size, oid, ...(isLarge && { lfs: { oid: sha256, size, pointerSize: 130 } }) };
  knownOids.set(bytes, oids);
  return oids;
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(value));
}

function send(
  response: ServerResponse,
  bytes: Buffer,
  range: string | null,
  fault: Fault | null,
): void {
  const start = fault === 'no-ranges' ? 0 : Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  const part = Buffer.from(bytes.subarray(start));
  if (fault === 'wrong-byte') part[part.length >> 1] = (part[part.length >> 1] ?? 0) ^ 1;
  const isPart = range !== null && fault !== 'no-ranges';
  response.writeHead(isPart ? 206 : 200, {
    'content-length': part.length,
    ...(isPart && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
  });
  if (fault === 'silence') {
    response.flushHeaders();
  } else if (fault !== null && typeof fault === 'object' && 'cutAfter' in fault) {
    response.write(part.subarray(0, fault.cutAfter), () => response.destroy());
  } else {
    response.end(part);
  }
}
