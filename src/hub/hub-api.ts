/** What the hub knows of a model: the commit of a revision and the files of a commit. */

import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { commitOf, hubNameText } from '../protocol/model-name.js';
import type { HubClient } from './hub-client.js';
import { type HubFile, isInside, type Listing } from './hub-file.js';

/**
 * The package, when it is needed: most engines start from a folder, and it asks for globals that a
 * VM context may lack.
 */
const loadHub = () => import('@huggingface/hub');

/** Far more files than a model has. */
const MAX_FILES = 100_000;

/** The commit that the model's revision is at. */
export async function findCommit(client: HubClient): Promise<string> {
  const { id, revision } = client.model;
  const { modelInfo } = await loadHub();
  const { sha } = await asking(client, () =>
    modelInfo({
      name: id,
      revision,
      additionalFields: ['sha'],
      hubUrl: client.settings.endpoint,
      fetch: client.fetch,
    }),
  );
  const commit = typeof sha === 'string' ? commitOf(sha) : null;
  if (commit === null) throw notUnderstood(client, `it gives '${sha}' as a commit`);
  return commit;
}

/** All files of a commit. */
export async function listCommit(client: HubClient, commit: string): Promise<Listing> {
  const { listFiles } = await loadHub();
  const files = new Map<string, HubFile>();
  await asking(client, async () => {
    const listing = listFiles({
      repo: { type: 'model', name: client.model.id },
      revision: commit,
      recursive: true,
      hubUrl: client.settings.endpoint,
      fetch: client.fetch,
    });
    for await (const { type, path, size, oid, lfs } of listing) {
      if (type !== 'file') continue;
      const file: HubFile =
        lfs === undefined
          ? { path, sizeBytes: size, checksum: { kind: 'git-sha1', hex: oid ?? '' } }
          : { path, sizeBytes: lfs.size, checksum: { kind: 'sha256', hex: lfs.oid } };
      if (!isSound(file)) throw notUnderstood(client, `it lists '${String(path).slice(0, 200)}'`);
      files.set(path, file);
      if (files.size > MAX_FILES) throw notUnderstood(client, `it lists over ${MAX_FILES} files`);
    }
  });
  return files;
}

/** What a server says becomes a path. */
function isSound({ path, sizeBytes, checksum }: HubFile): boolean {
  const length = checksum.kind === 'sha256' ? 64 : 40;
  return (
    typeof path === 'string' &&
    isInside(path) &&
    Number.isSafeInteger(sizeBytes) &&
    sizeBytes >= 0 &&
    new RegExp(`^[0-9a-f]{${length}}$`).test(checksum.hex)
  );
}

/** What is not our own error is about an answer of another kind. */
async function asking<Value>(client: HubClient, ask: () => Promise<Value>): Promise<Value> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof PermafrostError) throw cause;
    throw notUnderstood(client, reasonOf(cause), cause);
  }
}

function notUnderstood(client: HubClient, what: string, cause?: unknown): PermafrostError {
  return new PermafrostError(
    'ERR_DOWNLOAD',
    `${hubNameText(client.model)}: the answer of ${client.settings.endpoint} is not a hub's: ` +
      `${what}; is it the address of one (HF_ENDPOINT)?`,
    { cause },
  );
}
