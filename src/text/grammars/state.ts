/** What a text can go on with at one place: the parts that grammars are made of. */

/** A step from a state with one byte. */
export interface Move {
  readonly state: State;
  /** Where it goes on when what `state` belongs to is complete; null = one level stays one level. */
  readonly outer: State | null;
}

/**
 * A place in a text. States are made when they are first reached; places that mean the same are one
 * object, which saves work. From every one there is a way on to the end of what it belongs to.
 */
export interface State {
  /** What it belongs to may end here. */
  readonly isFinal: boolean;
  moves(byte: number): readonly Move[];
  /** What stands for this state where tokens are looked for; none = it stands for itself. */
  alike?(numBytes: number): Alike | null;
}

export type Alike =
  /** So many bytes can't tell the states apart. */
  | { readonly kind: 'near'; readonly state: State }
  /**
   * What goes on in one of the states, without leaving what that belongs to, goes on here too; except,
   * perhaps, what is the beginning of one of the texts.
   */
  | {
      readonly kind: 'inside';
      readonly states: readonly State[];
      readonly exceptions: readonly Uint8Array[];
    };

/** What begins with its first byte. */
export interface Start {
  moves(byte: number): readonly Move[];
}

export const NO_MOVES: readonly Move[] = [];

/** Behind the last byte. */
export const ENDED: State = { isFinal: true, moves: () => NO_MOVES };

export function moveTo(state: State | null): readonly Move[] {
  return state === null ? NO_MOVES : [{ state, outer: null }];
}

const SPACE = 0x20;

/** The state, before which one space may come: behind commas and colons. */
export function behindSpace(state: State): State {
  return {
    isFinal: false,
    moves: (byte) => (byte === SPACE ? moveTo(state) : state.moves(byte)),
  };
}

/** One byte of plain ASCII. */
export function byteOf(character: string): number {
  return character.charCodeAt(0);
}

/** More states than this are forgotten; one that comes again is made again. */
const MAX_REMEMBERED = 1 << 16;

/** States by what tells them apart, each made once. */
export class StateTable {
  readonly #made = new Map<string | number, State>();

  at(key: string | number, make: () => State): State {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    if (this.#made.size >= MAX_REMEMBERED) this.#made.clear();
    const made = make();
    this.#made.set(key, made);
    return made;
  }
}
