/** All filters by their names. */

import type { Filter } from './filter.js';
import { NUMBER_FILTERS } from './number-filters.js';
import { SEQUENCE_FILTERS } from './sequence-filters.js';
import { TEXT_FILTERS } from './text-filters.js';

export const BUILT_IN_FILTERS: ReadonlyMap<string, Filter> = new Map([
  ...TEXT_FILTERS,
  ...NUMBER_FILTERS,
  ...SEQUENCE_FILTERS,
]);

/** What jinja2 has, and a chat template has no use for. */
export const UNSUPPORTED_FILTERS: ReadonlySet<string> = new Set([
  'pprint',
  'random',
  'striptags',
  'urlize',
  'wordwrap',
  'xmlattr',
]);
