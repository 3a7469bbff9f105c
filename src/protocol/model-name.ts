/** Names of models on the Hugging Face hub, as they stand where a model is asked for. */

export interface HubName {
  /** `Qwen/Qwen3-8B` */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

const DEFAULT_REVISION = 'main';

/** A part of an id as the hub allows it: neither `..`, nor at an end a dot or a dash. */
const PART = /^(?!.*(--|\.\.))\w(?:[\w.-]{0,94}\w)?$/;

/** `org/name` and `org/name@revision`; null for what can only be a path. */
export function parseHubName(text: string): HubName | null {
  const at = text.indexOf('@');
  const id = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? DEFAULT_REVISION : text.slice(at + 1);
  const parts = id.split('/');
  if (parts.length !== 2 || !parts.every((part) => PART.test(part))) return null;
  return isRevision(revision) ? { id, revision: commitOf(revision) ?? revision } : null;
}

/** As it is written. */
export function hubNameText({ id, revision }: HubName): string {
  return revision === DEFAULT_REVISION ? id : `${id}@${revision}`;
}

/** A whole commit hash, in the form that the hub gives it; null for any other revision. */
export function commitOf(revision: string): string | null {
  return /^[0-9a-f]{40}$/i.test(revision) ? revision.toLowerCase() : null;
}

/** As git names branches and tags, see git-check-ref-format(1). It becomes part of paths and URLs. */
function isRevision(text: string): boolean {
  if (text.length > 255 || /[\0-\x20\x7f~^:?*[\\]/.test(text)) return false;
  return text.split('/').every((part) => part !== '' && !/^\.|\.\.|\.$|\.lock$|^@$|@\{/.test(part));
}

/** The id that an address names, such as `https://huggingface.co/Qwen/Qwen3-8B/tree/main`; null: none. */
export function hubNameInUrl(url: string): string | null {
  const id = /^(?:https?:\/+[^/]+|hf:\/)\/+([^/?#]+\/[^/?#]+)/.exec(url)?.[1];
  return id === undefined || parseHubName(id) === null ? null : id;
}
