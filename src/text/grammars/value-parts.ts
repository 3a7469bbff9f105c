/** How the parts of lists and objects are written. */

import type { SchemaNode } from '../schemas/schema-node.js';
import type { Start } from './state.js';
import type { StringLanguage } from './string-language.js';

export interface ValueParts {
  valueStart(node: SchemaNode): Start;
  nameStart(names: StringLanguage): Start;
  /** Each value has one text, so that different texts are different values. */
  readonly isCanonical: boolean;
}
