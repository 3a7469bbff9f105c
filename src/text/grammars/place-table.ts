/**
 * Where a text can be in a grammar, all ways at once: states with what is still open around them.
 * What is open is kept as sets of stacks that share their ends, so that many ways to read a text
 * stay few places.
 */

import { ENDED, type State } from './state.js';

/** Stacks of what goes on when a part is complete. */
interface Stacks {
  readonly id: number;
  /** One of the stacks is empty: the whole text is complete. */
  readonly hasEmpty: boolean;
  /** One of the stacks is not known. */
  readonly hasUnknown: boolean;
  readonly frames: readonly Frame[];
}

interface Frame {
  readonly state: State;
  readonly below: Stacks;
}

/** All ways to be somewhere. */
export interface Place {
  readonly states: readonly State[];
  /** The text may end here. */
  readonly isComplete: boolean;
  /** What was asked about alone may end here: see {@link PlaceTable.alone}. */
  readonly isLeft: boolean;
}

/** A place with the stacks of its states and the places that bytes lead to. */
interface KnownPlace extends Place {
  readonly stacks: readonly Stacks[];
  /** [256], filled as far as it was asked for; null = nothing goes on with the byte. */
  readonly next: (KnownPlace | null | undefined)[];
}

/** Owns places: each is made once, and so is each step between two. */
export class PlaceTable {
  readonly #ids = new Map<State, number>();
  readonly #stacks = new Map<string, Stacks>();
  readonly #unions = new Map<string, Stacks>();
  readonly #places = new Map<string, KnownPlace>();
  readonly #empty = this.#makeStacks(true, false, []);
  readonly #unknown = this.#makeStacks(false, true, []);

  /** How many there are. */
  get size(): number {
    return this.#places.size;
  }

  /** The place where a text begins that goes on from a state. */
  startAt(state: State): Place {
    return this.#placeOf(new Map([[state, this.#empty]]));
  }

  /** A state as if nothing were known of what is open around it. */
  alone(state: State): Place {
    return this.#placeOf(new Map([[state, this.#unknown]]));
  }

  /** null = the byte can't come. */
  step(place: Place, byte: number): Place | null {
    const { states, stacks, next } = place as KnownPlace;
    const known = next[byte];
    if (known !== undefined) return known;
    const reached = new Map<State, Stacks>();
    for (const [index, state] of states.entries()) {
      const open = stacks[index] ?? this.#empty;
      for (const move of state.moves(byte)) {
        const inside = move.outer === null ? open : this.#push(move.outer, open);
        this.#add(reached, move.state, inside);
      }
    }
    const made = reached.size === 0 ? null : this.#placeOf(reached);
    next[byte] = made;
    return made;
  }

  /** Leaves parts that are complete, wherever that is possible. */
  #placeOf(reached: Map<State, Stacks>): KnownPlace {
    let isComplete = false;
    let isLeft = false;
    const queue = [...reached.keys()];
    for (const state of queue) {
      const open = reached.get(state);
      if (!state.isFinal || open === undefined) continue;
      isComplete ||= open.hasEmpty;
      isLeft ||= open.hasUnknown;
      for (const { state: outer, below } of open.frames) {
        if (this.#add(reached, outer, below)) queue.push(outer);
      }
    }
    const going = [...reached].filter(([state]) => state !== ENDED);
    const parts = going.map(([state, open]) => `${this.#idOf(state)}:${open.id}`).sort();
    const key = `${parts.join(' ')}${isComplete ? '.' : ''}${isLeft ? '?' : ''}`;
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place: KnownPlace = {
      states: going.map(([state]) => state),
      stacks: going.map(([, open]) => open),
      isComplete,
      isLeft,
      next: [],
    };
    this.#places.set(key, place);
    return place;
  }

  /** Whether something changed. */
  #add(reached: Map<State, Stacks>, state: State, open: Stacks): boolean {
    const before = reached.get(state);
    const after = before === undefined ? open : this.#union(before, open);
    reached.set(state, after);
    return after !== before;
  }

  #push(state: State, below: Stacks): Stacks {
    return this.#makeStacks(false, false, [{ state, below }]);
  }

  #union(one: Stacks, other: Stacks): Stacks {
    if (one === other) return one;
    const key = one.id < other.id ? `${one.id} ${other.id}` : `${other.id} ${one.id}`;
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const below = new Map<State, Stacks>();
    for (const frame of [...one.frames, ...other.frames]) {
      this.#add(below, frame.state, frame.below);
    }
    const made = this.#makeStacks(
      one.hasEmpty || other.hasEmpty,
      one.hasUnknown || other.hasUnknown,
      Array.from(below, ([state, open]) => ({ state, below: open })),
    );
    this.#unions.set(key, made);
    return made;
  }

  #makeStacks(hasEmpty: boolean, hasUnknown: boolean, frames: readonly Frame[]): Stacks {
    const parts = frames.map(({ state, below }) => `${this.#idOf(state)}:${below.id}`).sort();
    const key = `${parts.join(' ')}${hasEmpty ? '.' : ''}${hasUnknown ? '?' : ''}`;
    const known = this.#stacks.get(key);
    if (known !== undefined) return known;
    const made = { id: this.#stacks.size, hasEmpty, hasUnknown, frames };
    this.#stacks.set(key, made);
    return made;
  }

  #idOf(state: State): number {
    const known = this.#ids.get(state);
    if (known !== undefined) return known;
    this.#ids.set(state, this.#ids.size);
    return this.#ids.size - 1;
  }
}
