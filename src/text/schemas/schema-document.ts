/** A schema's JSON as a whole: what references lead to. */

import { isJsonObject, type JsonObject, SchemaPosition } from './schema-position.js';

/** A schema and where it stands. */
export interface Located {
  readonly schema: unknown;
  readonly position: SchemaPosition;
}

/** A part of the document with a name of its own, which references inside it start from. */
interface Resource extends Located {
  readonly id: string;
}

/** No real document lies here: references need something to be resolved against. */
const NO_BASE = 'schema://unnamed/';

/** Deeper schemas are not read. */
const MAX_DEPTH = 1024;

export class SchemaDocument {
  readonly root: Located;
  readonly #resources: readonly Resource[];
  /** Schemas by their absolute names. */
  readonly #named: ReadonlyMap<string, Located>;

  constructor(document: unknown) {
    this.root = { schema: document, position: new SchemaPosition() };
    const { resources, named } = findNames(this.root);
    this.#resources = resources;
    this.#named = named;
  }

  /**
   * What a reference leads to; null = nothing in this document.
   * @param from Where the reference stands.
   */
  find(reference: string, from: SchemaPosition): Located | null {
    const resource = this.#resourceOf(from);
    const url = resolveUrl(reference, resource.id);
    if (url === null) return null;
    const [base = '', fragment = ''] = url.split('#');
    const target = reference.startsWith('#') ? resource : this.#resourceBy(base);
    if (fragment !== '' && !fragment.startsWith('/')) return this.#named.get(url) ?? null;
    const found = target === undefined ? null : follow(target, fragment);
    // Names inside a document are often written without meaning that references start there.
    return found ?? (reference.startsWith('#') ? follow(this.root, fragment) : null);
  }

  #resourceOf({ pointer }: SchemaPosition): Resource {
    let best: Resource = { ...this.root, id: NO_BASE };
    for (const resource of this.#resources) {
      const { pointer: start } = resource.position;
      const isAround = pointer === start || pointer.startsWith(`${start}/`);
      if (isAround && start.length >= best.position.pointer.length) best = resource;
    }
    return best;
  }

  #resourceBy(base: string): Resource | undefined {
    return this.#resources.find(({ id }) => id === base || id === `${base}#`);
  }
}

function findNames(root: Located): {
  readonly resources: readonly Resource[];
  readonly named: ReadonlyMap<string, Located>;
} {
  const resources: Resource[] = [];
  const named = new Map<string, Located>();
  const queue: (Located & { readonly base: string })[] = [{ ...root, base: NO_BASE }];
  for (const { schema, position, base } of queue) {
    if (typeof schema !== 'object' || schema === null || position.depth > MAX_DEPTH) continue;
    let inner = base;
    if (isJsonObject(schema)) {
      const id = schema.$id ?? schema.id;
      const url = typeof id === 'string' ? resolveUrl(id, base) : null;
      if (url?.includes('#') && !url.endsWith('#')) named.set(url, { schema, position });
      else if (url !== null) {
        inner = url.replace('#', '');
        resources.push({ id: inner, schema, position });
      }
      for (const anchor of [schema.$anchor, schema.$dynamicAnchor]) {
        if (typeof anchor === 'string') named.set(`${inner}#${anchor}`, { schema, position });
      }
    }
    for (const [name, value] of Object.entries(schema)) {
      if (typeof value === 'object' && value !== null) {
        queue.push({ schema: value, position: position.at(name), base: inner });
      }
    }
  }
  if (!resources.some(({ position }) => position.pointer === '#')) {
    resources.push({ ...root, id: NO_BASE });
  }
  return { resources, named };
}

function resolveUrl(reference: string, base: string): string | null {
  try {
    return new URL(reference, base).href;
  } catch {
    // A base that only names, such as urn:x, takes fragments alone.
    return reference.startsWith('#') ? `${base}${reference}` : null;
  }
}

/** Follows a JSON pointer, written as a fragment of a URI (RFC 6901, section 6). */
function follow({ schema, position }: Located, fragment: string): Located | null {
  let [value, place] = [schema, position];
  for (const part of fragment.split('/').slice(1)) {
    const name = decode(part)?.replaceAll('~1', '/').replaceAll('~0', '~');
    if (name === undefined || typeof value !== 'object' || value === null) return null;
    if (!Object.hasOwn(value, name)) return null;
    value = (value as JsonObject)[name];
    place = place.at(name);
  }
  return { schema: value, position: place };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
