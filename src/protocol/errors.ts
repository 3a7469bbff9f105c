/** Every code a {@link PermafrostError} can carry, with what it means. Codes are API; messages are not. */
export const ERROR_CODES = {
  ERR_BAD_OPTION: 'an option has a wrong name, type or value',
  ERR_BAD_REQUEST: 'a request or its sampling parameters are malformed',
  ERR_REQUEST_TOO_LARGE:
    'a request is larger than maxRequestBytes or maxRequestValues of the engine',
  ERR_UNSUPPORTED: 'a feature that Permafrost refuses by name',
  ERR_PROMPT_TOO_LONG:
    'the prompt and one token of an answer do not fit in the context or in the KV cache',
  ERR_NO_TOKENIZER: 'text was asked of a checkpoint without tokenizer.json',
  ERR_NO_CHAT_TEMPLATE: 'chat messages were given to a checkpoint without a chat template',
  ERR_TOKENIZER: 'tokenizer.json or the chat template is broken or failed on this input',
  ERR_TEXT_LIMIT:
    'a text, its chat template or its schema took more time or memory than is allowed',
  ERR_MODEL_NOT_FOUND:
    'the model folder or one of its files is missing, here and where the hub could be asked',
  ERR_MODEL_ACCESS: 'the hub gives the model only to a token that may see it, or to none',
  ERR_DOWNLOAD: 'the hub could not be reached, broke off, or sent wrong bytes, again and again',
  ERR_MODEL_CONFIG: 'config.json is malformed or names something unknown',
  ERR_MODEL_WEIGHTS: 'a safetensors file is damaged or does not match config.json',
  ERR_NO_DEVICE: 'a device that was asked for does not exist here',
  ERR_OUT_OF_MEMORY: 'the device or the host has too little memory',
  ERR_DEVICE: 'a step failed on the device, which can go on',
  ERR_DEVICE_LOST: 'a device, its worker or the scheduler process is gone',
  ERR_POISONED: 'a request that took its device or the scheduler process down, even alone',
  ERR_PROCESS: 'the scheduler process could not be started, or something else was in its place',
  ERR_ABORTED: 'the signal of Engine.start or of a download aborted before it was done',
  ERR_STARTUP_TIMEOUT: 'the engine did not become ready in startupTimeoutMs',
  ERR_CLOSED: 'the engine is closed or closing',
  ERR_NATIVE_ADDON: 'the native addon is missing or does not load',
  ERR_PROTOCOL: 'two parts of Permafrost disagree about a message; always a bug',
  ERR_INTERNAL: 'an invariant does not hold; always a bug',
  ERR_BAD_LINE: 'a line of a batch file is not a valid request',
  ERR_LINE_TOO_LONG: 'a line of a batch file is longer than the limit',
  ERR_DUPLICATE_ID: 'a custom_id is on an earlier line of the batch file already',
  ERR_FILE: 'a file could not be read or written',
  ERR_QUEUE: 'the queue of a job on many machines could not be reached or used',
  ERR_NOT_INSTALLED: 'an optional package that this needs is not installed',
} as const;

/** A stable code to match on. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** An error as it travels between processes and threads. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
}

/** The one error class of Permafrost: match on `code`, show `message`. */
export class PermafrostError extends Error {
  override readonly name = 'PermafrostError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** The error as plain data for a message. */
  static toRecord(error: unknown): ErrorRecord {
    if (error instanceof PermafrostError) return { code: error.code, message: error.message };
    const code = (error as { readonly code?: unknown } | null | undefined)?.code;
    return { code: isErrorCode(code) ? code : 'ERR_INTERNAL', message: reasonOf(error) };
  }

  /** The error that {@link toRecord} described. */
  static fromRecord(record: ErrorRecord): PermafrostError {
    return new PermafrostError(record.code, record.message);
  }
}

/**
 * Why something failed, whatever was thrown. Not by `instanceof`: Node's errors are of another realm in
 * a VM context, as test runners make them.
 */
export function reasonOf(thrown: unknown): string {
  try {
    const message = (thrown as { readonly message?: unknown } | null | undefined)?.message;
    return typeof message === 'string' ? message : String(thrown);
  } catch {
    return 'an error that tells nothing';
  }
}

/** Whether a value read from outside is one of our codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CODES, value);
}
