// The destination template language: what a parsed template is made of, and its errors.
//
//   text {{ pipeline }} {{if p}} .. {{else if p}} .. {{else}} .. {{end}} {{with p}} .. {{end}} {{$x := p}} {{/* */}}
//
// A subset of Go's text/template with its names and rules. What belongs to that language and is not here yet is
// reported as unsupported, never taken for something else.

/** `unsupported`: valid elsewhere, not available here. `parse`: no template. `run`: failed while running. */
export type TemplateErrorKind = 'parse' | 'unsupported' | 'run' | 'budget' | 'user';

export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly kind: TemplateErrorKind;
  /** Characters from the start of the source, 0-based. */
  readonly offset: number;

  /** The message names line and column (1-based) when the source is given. */
  constructor(kind: TemplateErrorKind, message: string, offset: number, source?: string) {
    super(source === undefined ? message : `${position(source, offset)}: ${message}`);
    this.kind = kind;
    this.offset = offset;
  }
}

function position(source: string, offset: number): string {
  const before = source.slice(0, offset);
  const line = before.split('\n').length;
  return `line ${line}, column ${offset - before.lastIndexOf('\n')}`;
}

/** A value written in the source. */
export type Literal = string | number | boolean;

/** Something that gives one value. */
export type Operand =
  | { readonly type: 'literal'; readonly value: Literal; readonly offset: number }
  | { readonly type: 'nil'; readonly offset: number }
  | { readonly type: 'dot'; readonly offset: number }
  | { readonly type: 'field'; readonly names: readonly string[]; readonly offset: number }
  | {
      readonly type: 'variable';
      /** Position on the stack of variables; 0 is `$`. */
      readonly slot: number;
      readonly names: readonly string[];
      readonly offset: number;
    }
  | { readonly type: 'function'; readonly name: string; readonly offset: number }
  | {
      readonly type: 'pipe';
      readonly pipe: Pipe;
      readonly names: readonly string[];
      readonly offset: number;
    };

/** An operand, or a function or method with its arguments. */
export interface Command {
  readonly operands: readonly [Operand, ...Operand[]];
}

export interface Pipe {
  readonly commands: readonly [Command, ...Command[]];
  /** Variable the value is stored in: a new one on top of the stack, or an existing one. */
  readonly store:
    | { readonly kind: 'declare' }
    | { readonly kind: 'assign'; readonly slot: number }
    | undefined;
  readonly offset: number;
}

export type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'action'; readonly pipe: Pipe }
  | {
      readonly type: 'branch';
      readonly keyword: 'if' | 'with';
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };
