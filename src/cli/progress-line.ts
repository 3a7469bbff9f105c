/** A line of progress: what matters most comes first and stays when there is little room. */

import { formatCount, formatDuration, formatRate, formatShortDuration } from './format.js';

/** Something the line says, in forms from the longest to the shortest. */
export interface LinePart {
  readonly forms: readonly string[];
  /** Said only where there is room beside all others. */
  readonly isMinor?: boolean;
}

const SEPARATOR = '  ';

/**
 * The parts in forms that fit into `width` columns together. Those that don't fit even in their
 * shortest are left out, from behind.
 */
export function progressLine(parts: readonly LinePart[], width: number): string {
  const line = new Line(parts.filter(({ forms }) => forms.length > 0));
  while (line.text.length > width && line.dropLast());
  while (line.lengthenOne(width));
  return line.text.slice(0, Math.max(0, width));
}

/** Which parts are shown, and in which form each. */
class Line {
  readonly #parts: readonly LinePart[];
  /** Of each part the place of its form; null = it is left out. */
  readonly #places: (number | null)[];

  /** The major parts, in their shortest forms. */
  constructor(parts: readonly LinePart[]) {
    this.#parts = parts;
    this.#places = parts.map(({ forms, isMinor }) => (isMinor === true ? null : forms.length - 1));
  }

  get text(): string {
    return this.#parts
      .flatMap(({ forms }, index) => forms[this.#places[index] ?? forms.length] ?? [])
      .join(SEPARATOR);
  }

  /** False when one part is left. */
  dropLast(): boolean {
    const last = this.#places.findLastIndex((place) => place !== null);
    if (last <= 0) return false;
    this.#places[last] = null;
    return true;
  }

  /** Gives every part its next longer form, from behind, where that fits. Minor parts come last. */
  lengthenOne(width: number): boolean {
    const order = [...this.#parts.keys()].reverse();
    const isMinor = (index: number) => this.#parts[index]?.isMinor === true;
    const majors = order.filter((index) => !isMinor(index) && this.#places[index] !== null);
    const lengthen = (index: number) => this.#tryPlace(index, width);
    if (majors.filter(lengthen).length > 0) return true;
    return order.filter(isMinor).filter(lengthen).length > 0;
  }

  #tryPlace(index: number, width: number): boolean {
    const place = this.#places[index] ?? this.#parts[index]?.forms.length ?? 0;
    if (place === 0) return false;
    const before = this.#places[index] ?? null;
    this.#places[index] = place - 1;
    if (this.text.length <= width) return true;
    this.#places[index] = before;
    return false;
  }
}

export interface Counts {
  readonly done: number;
  /** null: not known. */
  readonly total: number | null;
  /** What is counted, in the plural. */
  readonly unit: string;
}

/** `12,345/100,000 rows` and `12 %`. */
export function countParts({ done, total, unit }: Counts): LinePart[] {
  if (total === null) return [{ forms: [`${formatCount(done)} ${unit}`, String(done)] }];
  // Rounded down: 100 % is said when all is done, and not before.
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  return [
    {
      forms: [
        `${formatCount(done)}/${formatCount(total)} ${unit}`,
        `${formatCount(done)}/${formatCount(total)}`,
        `${done}/${total}`,
      ],
    },
    { forms: [`${percent} %`, `${percent}%`] },
  ];
}

/** `250 rows/s`, and `ETA 3 min 20 s` where it is known. */
export function paceParts(perSecond: number, unit: string, leftMs: number | null): LinePart[] {
  const rate = formatRate(perSecond);
  const eta =
    leftMs === null
      ? []
      : [{ forms: [`ETA ${formatDuration(leftMs)}`, `ETA ${formatShortDuration(leftMs)}`] }];
  return [{ forms: [`${rate} ${unit}/s`, `${rate}/s`] }, ...eta];
}

export interface DeviceShare {
  /** `cuda:0` */
  readonly device: string;
  readonly percent: number;
}

/** `cuda:0 13 %, cuda:1 12 %`, `cuda:0-1 13 12 %` or `2 devices 12-13 %`. */
export function devicesPart(shares: readonly DeviceShare[]): LinePart {
  const [first] = shares;
  if (first === undefined) return { forms: [] };
  const long = shares.map(({ device, percent }) => `${device} ${percent} %`).join(', ');
  if (shares.length === 1) return { forms: [long] };
  const percents = shares.map(({ percent }) => percent);
  const [least, most] = [Math.min(...percents), Math.max(...percents)];
  const range = least === most ? `${most} %` : `${least}-${most} %`;
  return {
    forms: [
      long,
      `${groups(shares.map(({ device }) => device)).join(' ')} ${percents.join(' ')} %`,
      `${shares.length} devices ${range}`,
    ],
  };
}

/** `cuda:0 cuda:1 cuda:2 cuda:5` → `cuda:0-2,5`. */
function groups(devices: readonly string[]): string[] {
  const byKind = new Map<string, number[]>();
  for (const device of devices) {
    const [kind = '', index] = device.split(':');
    byKind.set(kind, [...(byKind.get(kind) ?? []), Number(index)]);
  }
  return [...byKind].map(([kind, indices]) => `${kind}:${indexText(indices)}`);
}

function indexText(indices: readonly number[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const index of indices) {
    const run = runs.at(-1);
    if (run !== undefined && index === run.last + 1) run.last = index;
    else runs.push({ first: index, last: index });
  }
  return runs
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
    .join(',');
}
