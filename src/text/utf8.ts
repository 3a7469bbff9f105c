/** UTF-8 cut at any byte. */

// A byte order mark inside a text is a character of it; invalid bytes become U+FFFD.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes bytes as the WHATWG decoder does: one U+FFFD per maximal invalid part. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

const strictDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Decodes bytes that are UTF-8 as a whole; null when they aren't. */
export function decodeWholeUtf8(bytes: Uint8Array): string | null {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return null;
  }
}

/** A text's characters, each with the number of UTF-8 bytes up to its end. */
export function utf8Characters(
  text: string,
): { readonly character: string; readonly end: number }[] {
  let end = 0;
  return Array.from(text, (character) => {
    end += Buffer.byteLength(character);
    return { character, end };
  });
}

/**
 * How many bytes at the end, 0 to 3, are the start of a sequence that more bytes could complete.
 * What lies before them decodes the same whatever comes next. Ranges: Unicode, table 3-7.
 */
export function unfinishedLength(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const lead = bytes[bytes.length - length] ?? 0;
    if (isContinuation(lead)) continue;
    if (sequenceLength(lead) <= length) return 0;
    const second = bytes[bytes.length - length + 1];
    return length === 1 || (second !== undefined && canFollow(lead, second)) ? length : 0;
  }
  return 0;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Bytes of the sequence that a lead byte begins; 1 for ASCII and for bytes that begin none. */
function sequenceLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 1;
}

/** Four lead bytes narrow the second: no overlong forms, surrogates, or points past U+10FFFF. */
function canFollow(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}
