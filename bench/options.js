// Values of a scope's options. A bad one ends the bench with exit code 2.

export function usageError(message) {
  return Object.assign(new Error(message), { code: 'ERR_USAGE' });
}

/** A positive integer. */
export function count(name, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw usageError(`--${name} must be a positive integer, not '${text}'`);
  }
  return value;
}

/** Positive integers with commas between them. */
export function counts(name, text) {
  return text.split(',').map((part) => count(name, part));
}
