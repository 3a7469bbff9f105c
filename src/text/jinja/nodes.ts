/** The parts of a parsed template. */

import type { Value } from './values.js';

export type Expression =
  | { readonly kind: 'const'; readonly value: Value }
  | NameNode
  | { readonly kind: 'tuple' | 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly items: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly object: Expression; readonly key: Expression }
  | SliceNode
  | CallNode
  | FilterNode
  | TestNode
  | { readonly kind: 'not' | 'negative' | 'positive'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | BinaryNode
  | CompareNode
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | ConditionalNode;

export interface NameNode {
  readonly kind: 'name';
  readonly name: string;
}

/** `object[start:stop:step]` */
export interface SliceNode {
  readonly kind: 'slice';
  readonly object: Expression;
  readonly start: Expression | null;
  readonly stop: Expression | null;
  readonly step: Expression | null;
}

export interface ArgumentNodes {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*list` */
  readonly spread: Expression | null;
  /** `**dict` */
  readonly namedSpread: Expression | null;
}

export interface CallNode {
  readonly kind: 'call';
  readonly callee: Expression;
  readonly args: ArgumentNodes;
}

export interface FilterNode {
  readonly kind: 'filter';
  readonly name: string;
  /** null: what the statement around it encloses. */
  readonly operand: Expression | null;
  readonly args: ArgumentNodes;
  readonly line: number;
}

export interface TestNode {
  readonly kind: 'test';
  readonly name: string;
  readonly operand: Expression;
  readonly args: ArgumentNodes;
  readonly line: number;
}

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';

export interface BinaryNode {
  readonly kind: 'binary';
  readonly operator: BinaryOperator;
  readonly left: Expression;
  readonly right: Expression;
}

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

/** `first < second == third`: all of them have to hold. */
export interface CompareNode {
  readonly kind: 'compare';
  readonly first: Expression;
  readonly others: readonly (readonly [Comparison, Expression])[];
}

export interface ConditionalNode {
  readonly kind: 'conditional';
  readonly condition: Expression;
  readonly whenTrue: Expression;
  /** null: undefined. */
  readonly whenFalse: Expression | null;
  readonly line: number;
}

/** What can be assigned to; `member`: an attribute of a namespace. */
export type Target =
  | NameNode
  | { readonly kind: 'member'; readonly name: string; readonly attribute: string }
  | { readonly kind: 'targets'; readonly items: readonly Target[] };

export interface Parameter {
  readonly name: string;
  readonly defaultValue: Expression | null;
}

export type Statement =
  | { readonly kind: 'data'; readonly text: string }
  | { readonly kind: 'output'; readonly value: Expression }
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | SetBlockNode
  | ForNode
  | IfNode
  | WithNode
  | MacroNode
  | CallBlockNode
  | FilterBlockNode
  | { readonly kind: 'generation'; readonly body: readonly Statement[] }
  | { readonly kind: 'break' | 'continue' };

export interface SetBlockNode {
  readonly kind: 'set-block';
  readonly target: Target;
  readonly filter: Expression | null;
  readonly body: readonly Statement[];
}

export interface ForNode {
  readonly kind: 'for';
  readonly target: Target;
  readonly iterable: Expression;
  /** `for x in y if test` */
  readonly test: Expression | null;
  readonly isRecursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}

export interface IfNode {
  readonly kind: 'if';
  /** `if` and `elif`, in their order. */
  readonly branches: readonly {
    readonly condition: Expression;
    readonly body: readonly Statement[];
  }[];
  readonly otherwise: readonly Statement[];
}

export interface WithNode {
  readonly kind: 'with';
  readonly assignments: readonly (readonly [Target, Expression])[];
  readonly body: readonly Statement[];
}

export interface MacroNode {
  readonly kind: 'macro';
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
}

export interface CallBlockNode {
  readonly kind: 'call-block';
  readonly parameters: readonly Parameter[];
  readonly call: CallNode;
  readonly body: readonly Statement[];
}

export interface FilterBlockNode {
  readonly kind: 'filter-block';
  readonly filter: Expression;
  readonly body: readonly Statement[];
}
