/** s3: URLs, through Amazon's client, which is an optional peer: it is loaded for such a URL only. */

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { PermafrostError } from '../../protocol/errors.js';
import type { RemotePart, RemoteStore } from './remote-store.js';

type Client = typeof import('@aws-sdk/client-s3');
type Storage = typeof import('@aws-sdk/lib-storage');

/** Of an upload: a store takes 10,000 parts at most. */
const MIN_PART_BYTES = 8 << 20;
const MAX_PARTS = 9000;
/** Of those whose stores have no regions. */
const ANY_REGION = 'us-east-1';

/** @throws ERR_BAD_OPTION when the client is not installed. */
export async function openS3(bucket: string, key: string): Promise<RemoteStore> {
  let client: Client;
  let storage: Storage;
  try {
    [client, storage] = await Promise.all([
      import('@aws-sdk/client-s3'),
      import('@aws-sdk/lib-storage'),
    ]);
  } catch (cause) {
    const packages = '@aws-sdk/client-s3 @aws-sdk/lib-storage';
    throw new PermafrostError(
      'ERR_BAD_OPTION',
      `s3://${bucket}/${key}: s3: URLs take two more packages: npm install ${packages}`,
      { cause },
    );
  }
  return new S3Store(client, storage, { Bucket: bucket, Key: key });
}

interface ObjectName {
  readonly Bucket: string;
  readonly Key: string;
}

class S3Store implements RemoteStore {
  readonly #sdk: Client;
  readonly #storage: Storage;
  readonly #object: ObjectName;
  readonly #client: InstanceType<Client['S3Client']>;

  constructor(sdk: Client, storage: Storage, object: ObjectName) {
    this.#sdk = sdk;
    this.#storage = storage;
    this.#object = object;
    const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION } = process.env;
    const isElsewhere = (AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL) !== undefined;
    const hasRegion = (AWS_REGION ?? AWS_DEFAULT_REGION) !== undefined;
    this.#client = new sdk.S3Client({
      // Other stores have no host per bucket and know no checksums in trailers.
      ...(isElsewhere && {
        forcePathStyle: true,
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
      }),
      ...(isElsewhere && !hasRegion && { region: ANY_REGION }),
    });
  }

  async sizeBytes(): Promise<number | null | 'unknown'> {
    try {
      const head = await this.#client.send(new this.#sdk.HeadObjectCommand(this.#object));
      return head.ContentLength ?? 'unknown';
    } catch (error) {
      const status = statusOf(error);
      if (status === 404) return null;
      if (status === 403) return 'unknown';
      throw this.#failure(error);
    }
  }

  async read(offset: number, signal?: AbortSignal): Promise<RemotePart> {
    const range = offset === 0 ? {} : { Range: `bytes=${offset}-` };
    const command = new this.#sdk.GetObjectCommand({ ...this.#object, ...range });
    try {
      const answer = await this.#client.send(command, signal && { abortSignal: signal });
      const part = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '');
      const total = part === null ? answer.ContentLength : Number(part[2]);
      return {
        // In Node a body is a Readable.
        bytes: answer.Body as unknown as AsyncIterable<Uint8Array>,
        start: part === null ? 0 : Number(part[1]),
        totalBytes: total ?? null,
        tag: answer.ETag ?? null,
      };
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async write(path: string): Promise<void> {
    const { size } = await stat(path);
    const upload = new this.#storage.Upload({
      client: this.#client,
      params: { ...this.#object, Body: createReadStream(path), ContentType: 'application/jsonl' },
      partSize: Math.max(MIN_PART_BYTES, Math.ceil(size / MAX_PARTS)),
    });
    try {
      await upload.done();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** The client has tried again itself what may pass: its error is final, unless nobody answered. */
  #failure(error: unknown): unknown {
    const status = statusOf(error);
    if (status === null || status >= 500) return error;
    const { name, message } = error as Error;
    const { Bucket, Key } = this.#object;
    return new PermafrostError('ERR_FILE', `s3://${Bucket}/${Key}: ${name}: ${message}`, {
      cause: error,
    });
  }
}

function statusOf(error: unknown): number | null {
  const { $metadata: metadata } = (error ?? {}) as {
    readonly $metadata?: { readonly httpStatusCode?: number };
  };
  return metadata?.httpStatusCode ?? null;
}
