import { PermafrostError } from '../../protocol/errors.js';

/** A JSON object that was read from a schema. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A place in a schema, for errors that name it: a JSON pointer (RFC 6901) with its `#`. */
export class SchemaPosition {
  readonly pointer: string;
  readonly depth: number;

  constructor(pointer = '#', depth = 0) {
    this.pointer = pointer;
    this.depth = depth;
  }

  at(...names: readonly (string | number)[]): SchemaPosition {
    const parts = names.map((name) => `/${escapeName(String(name))}`);
    return new SchemaPosition(this.pointer + parts.join(''), this.depth + 1);
  }

  /** The error of a schema that says what is not in the subset. */
  unsupported(hint = ''): PermafrostError {
    const more = hint === '' ? '' : `: ${hint}`;
    return new PermafrostError(
      'ERR_UNSUPPORTED',
      `the JSON schema's ${this.pointer} is not supported${more}`,
    );
  }

  /** The error of a schema that is none. */
  malformed(expected: string): PermafrostError {
    return new PermafrostError(
      'ERR_BAD_REQUEST',
      `the JSON schema's ${this.pointer} is malformed: expected ${expected}`,
    );
  }

  /** @throws ERR_BAD_REQUEST when the value is not a whole number of at least 0. */
  readCount(value: unknown): number {
    if (Number.isInteger(value) && Number(value) >= 0) return Number(value);
    throw this.malformed('a whole number of at least 0');
  }

  /** @throws ERR_BAD_REQUEST when the value is no object. */
  readObject(value: unknown): JsonObject {
    if (isJsonObject(value)) return value;
    throw this.malformed('an object');
  }

  /** @throws ERR_BAD_REQUEST when the value is no number. */
  readNumber(value: unknown): number {
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw this.malformed('a number');
  }

  /** @throws ERR_BAD_REQUEST when the value is no text. */
  readText(value: unknown): string {
    if (typeof value === 'string') return value;
    throw this.malformed('a text');
  }

  /** @throws ERR_BAD_REQUEST when the value is no list of texts. */
  readNames(value: unknown): readonly string[] {
    if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value;
    throw this.malformed('a list of names');
  }

  /** @throws ERR_BAD_REQUEST when the value is no list, or an empty one. */
  readList(value: unknown): readonly unknown[] {
    if (Array.isArray(value) && value.length > 0) return value;
    throw this.malformed('a list that is not empty');
  }
}

/** A schema that would take too long. */
export class SchemaTooLarge extends PermafrostError {}

export function tooLarge(what: string): SchemaTooLarge {
  return new SchemaTooLarge('ERR_BAD_REQUEST', `the JSON schema is too large: ${what}`);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a schema takes everything. */
export function isEmptySchema(schema: unknown): boolean {
  return schema === true || (isJsonObject(schema) && Object.keys(schema).length === 0);
}

function escapeName(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
