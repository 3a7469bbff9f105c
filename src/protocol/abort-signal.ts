/** Recognises abort signals, whichever realm or library they come from. */

/** Not by `instanceof`: a test runner's VM context has an AbortSignal of its own. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener } = value as Partial<AbortSignal>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
}
