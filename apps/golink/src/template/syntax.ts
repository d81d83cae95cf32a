// The destination template language: what a parsed template is made of, and its errors.
//
//   text {{ pipeline }} {{if p}} .. {{else if p}} .. {{else}} .. {{end}} {{with p}} .. {{end}} {{$x := p}} {{/* */}}
//   {{range p}} .. {{break}} .. {{continue}} .. {{else}} .. {{end}} {{define "n"}} .. {{end}} {{template "n" p}}
//   {{block "n" p}} .. {{end}}
//
// The language is that of Go's text/template, with its names and rules. Text is one char per byte of UTF-8 (see
// utf8.ts), because that is what `len`, `index` and `slice` count.

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

/** Something that gives one value. */
export type Operand =
  | { readonly type: 'string'; readonly value: string; readonly offset: number }
  | { readonly type: 'bool'; readonly value: boolean; readonly offset: number }
  | ({ readonly type: 'number'; readonly offset: number } & NumberLiteral)
  | { readonly type: 'nil'; readonly offset: number }
  | { readonly type: 'dot'; readonly offset: number }
  | { readonly type: 'field'; readonly names: readonly string[]; readonly offset: number }
  | {
      readonly type: 'variable';
      /** With its `$`. */
      readonly name: string;
      readonly names: readonly string[];
      readonly offset: number;
    }
  | {
      readonly type: 'function';
      readonly name: string;
      readonly names: readonly string[];
      readonly offset: number;
    }
  | {
      readonly type: 'pipe';
      readonly pipe: Pipe;
      readonly names: readonly string[];
      readonly offset: number;
    };

/** A number as written: it becomes what the place it stands in asks for. */
export interface NumberLiteral {
  /** As an integer, also `1.0` and `1e3`; undefined when it is none or needs more than 64 bits. */
  readonly integer: bigint | undefined;
  /** Where nothing is asked for, it is this and not an integer. */
  readonly float: number | undefined;
}

/** An operand, or a function or method with its arguments. */
export interface Command {
  readonly head: Operand;
  /** Behind it, in order. */
  readonly args: readonly Operand[];
}

export interface Pipe {
  readonly commands: readonly [Command, ...Command[]];
  /** Variables the value is stored in: none, one, or in a range two. */
  readonly variables: readonly string[];
  /** They exist already. */
  readonly assigns: boolean;
  readonly offset: number;
}

export type Node =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'action'; readonly pipe: Pipe }
  | {
      readonly type: 'branch';
      readonly keyword: 'if' | 'with' | 'range';
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly type: 'jump'; readonly keyword: 'break' | 'continue'; readonly offset: number }
  | {
      readonly type: 'template';
      readonly name: string;
      readonly pipe: Pipe | undefined;
      readonly offset: number;
    };

/** Templates by name; the whole is the one named ''. */
export type TemplateSet = ReadonlyMap<string, readonly Node[]>;
