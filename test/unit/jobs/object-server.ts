/** A server of objects: GET with ranges, HEAD, PUT, and S3's uploads in parts. */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** What goes wrong at the next requests of a method. */
export type Fault =
  | { readonly status: number }
  /** The connection ends after so many bytes of the answer's body. */
  | { readonly cutAfter: number }
  | 'no-ranges';

export interface ServedRequest {
  readonly method: string;
  /** With what is behind the question mark. */
  readonly path: string;
  readonly range: string | null;
}

export class ObjectServer {
  readonly objects = new Map<string, Buffer>();
  readonly requests: ServedRequest[] = [];
  readonly #faults: { readonly method: string; readonly fault: Fault; left: number }[] = [];
  readonly #uploads = new Map<string, Map<number, Buffer>>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<ObjectServer> {
    const objects = new ObjectServer();
    await new Promise<void>((resolve) => objects.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      objects.#server.close();
      objects.#server.closeAllConnections();
    });
    return objects;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  fail(method: string, fault: Fault, times = 1): void {
    this.#faults.push({ method, fault, left: times });
  }

  text(path: string): string {
    return this.objects.get(path)?.toString('utf8') ?? 'nothing';
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    const url = new URL(request.url ?? '/', this.url);
    const range = request.headers.range ?? null;
    this.requests.push({ method, path: `${url.pathname}${url.search}`, range });
    const body = await buffer(request);
    const fault = this.#takeFault(method);
    if (typeof fault === 'object' && fault !== null && 'status' in fault) {
      response.writeHead(fault.status).end();
      return;
    }
    if (method === 'GET' || method === 'HEAD')
      this.#get(method, url.pathname, range, fault, response);
    else this.#put(method, url, body, response);
  }

  #get(
    method: string,
    path: string,
    range: string | null,
    fault: Fault | null,
    response: ServerResponse,
  ): void {
    const bytes = this.objects.get(path);
    if (bytes === undefined) {
      response.writeHead(404).end();
      return;
    }
    const isPart = range !== null && fault !== 'no-ranges';
    const start = isPart ? Number(/^bytes=(\d+)-/.exec(range)?.[1]) : 0;
    const part = bytes.subarray(start);
    response.writeHead(isPart ? 206 : 200, {
      'content-length': part.length,
      etag: tagOf(bytes),
      ...(isPart && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (fault !== null && typeof fault === 'object' && 'cutAfter' in fault) {
      response.write(part.subarray(0, fault.cutAfter), () => response.destroy());
    } else {
      response.end(method === 'HEAD' ? undefined : part);
    }
  }

  #put(method: string, url: URL, body: Buffer, response: ServerResponse): void {
    const { pathname, searchParams } = url;
    const id = searchParams.get('uploadId');
    const part = searchParams.get('partNumber');
    if (method === 'POST' && searchParams.has('uploads')) {
      const uploadId = `upload-${this.#uploads.size}`;
      this.#uploads.set(uploadId, new Map());
      xml(response, `<InitiateMultipartUploadResult><UploadId>${uploadId}</UploadId>`);
    } else if (method === 'PUT' && id !== null && part !== null) {
      this.#uploads.get(id)?.set(Number(part), body);
      response.writeHead(200, { etag: tagOf(body) }).end();
    } else if (method === 'POST' && id !== null) {
      const parts = [...(this.#uploads.get(id) ?? [])].sort(([a], [b]) => a - b);
      this.objects.set(pathname, Buffer.concat(parts.map(([, bytes]) => bytes)));
      xml(response, `<CompleteMultipartUploadResult><ETag>"done"</ETag>`);
    } else if (method === 'PUT') {
      this.objects.set(pathname, body);
      response.writeHead(200, { etag: tagOf(body) }).end();
    } else {
      response.writeHead(204).end();
    }
  }

  #takeFault(method: string): Fault | null {
    const found = this.#faults.find((one) => one.left > 0 && one.method === method);
    if (found === undefined) return null;
    found.left--;
    return found.fault;
  }
}

function tagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

function xml(response: ServerResponse, start: string): void {
  const name = /^<(\w+)>/.exec(start)?.[1];
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>${start}</${name}>`);
}
