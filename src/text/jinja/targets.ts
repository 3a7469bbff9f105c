/** What can be assigned to. */

import type { Frame } from './expression-compiler.js';
import type { Target } from './nodes.js';
import { iterate } from './operators.js';
import type { Scope } from './scope.js';
import { Namespace, TemplateError, type Value } from './values.js';

/** Writes values to names and to attributes of namespaces. */
export function compileTarget(
  target: Target,
  frame: Pick<Frame, 'symbols'>,
): (scope: Scope, value: Value) => void {
  if (target.kind === 'targets') {
    const targets = target.items.map((item) => compileTarget(item, frame));
    return (scope, value) => {
      const items = [...iterate(value, scope.rendering.budget)];
      if (items.length !== targets.length) {
        throw new TemplateError(`${items.length} values were given for ${targets.length} names`);
      }
      for (const [index, assign] of targets.entries()) assign(scope, items[index] ?? null);
    };
  }
  const variable = frame.symbols.find(target.name);
  if (variable === undefined) throw new TemplateError(`'${target.name}' was not analysed`);
  if (target.kind === 'name') return (scope, value) => scope.set(variable, value);
  const { attribute } = target;
  return (scope, value) => {
    const namespace = scope.get(variable);
    if (!(namespace instanceof Namespace)) {
      throw new TemplateError('cannot assign attribute on non-namespace object');
    }
    namespace.attributes.set(attribute, value);
  };
}
