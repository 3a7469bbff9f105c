/** Terminals that nobody has to wait for. */

import type { WriteStream } from 'node:tty';

/** The part of a terminal's handle that Node has and does not document. */
interface Handle {
  readonly setBlocking?: (isBlocking: boolean) => number;
}

/**
 * Lets writes to a terminal be waited for as those to a pipe are. Node's own block the whole process
 * while the terminal takes nothing: held by Ctrl-S, or at the other end of a line that is dead.
 */
export function unblockTerminal(stream: WriteStream): void {
  if (stream.isTTY) (stream as { readonly _handle?: Handle })._handle?.setBlocking?.(false);
}
