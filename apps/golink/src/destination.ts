// A link's destination, compiled once: default appending for a plain URL, a template when it contains `{{`.
import { GolinkError } from './errors.ts';
import type { Link } from './links.ts';
import { buildLocation } from './location.ts';
import { evaluate } from './template/evaluate.ts';
import { parse, reads } from './template/parse.ts';
import { type Node, TemplateError } from './template/syntax.ts';
import { Time } from './template/time.ts';

/** What a request brings to a destination. */
export interface Visit {
  /** What followed the name, decoded, without leading slash. */
  readonly path: string;
  /** The query as sent, without `?`. */
  readonly query: string;
  /** Login name of the caller; undefined when unknown. */
  readonly user: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface Destination {
  /** The caller has to be looked up before `locate`. */
  readonly usesUser: boolean;
  /** The Location header as a byte string. Throws GolinkError. */
  locate(visit: Visit): string;
}

const words: Readonly<Record<TemplateError['kind'], GolinkError['code']>> = {
  parse: 'ERR_TEMPLATE',
  run: 'ERR_TEMPLATE',
  budget: 'ERR_TEMPLATE',
  unsupported: 'ERR_UNSUPPORTED',
  user: 'ERR_USER_REQUIRED',
};

/**
 * Never throws: a destination that does not parse fails when it is visited. `append`: where what follows the name goes
 * in a plain destination with a query or fragment: behind everything, or behind its path.
 */
export function compile(long: string, append: Link['append'] = 'end'): Destination {
  if (!long.includes('{{')) return compilePlain(long, append);
  let nodes: readonly Node[];
  try {
    nodes = parse(long);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    const failure = asGolinkError(error);
    return {
      usesUser: false,
      locate: () => {
        throw failure;
      },
    };
  }
  const usesUser = reads(nodes, 'User');
  // A template that places the query itself does not get it merged in as well.
  const takesQuery = reads(nodes, 'Query');
  return {
    usesUser,
    locate: ({ path, query, user, now }) => {
      let expanded: string;
      try {
        expanded = evaluate(nodes, { path, query, user, now: new Time(now) }, long);
      } catch (error) {
        throw error instanceof TemplateError ? asGolinkError(error) : error;
      }
      return buildLocation(expanded, takesQuery ? '' : query);
    },
  };
}

function compilePlain(long: string, append: Link['append']): Destination {
  const end = append === 'path' ? long.search(/[?#]|$/) : long.length;
  const [head, tail] = [long.slice(0, end), long.slice(end)];
  const joint = head.endsWith('/') ? '' : '/';
  let bare: string | undefined;
  return {
    usesUser: false,
    locate: ({ path, query }) => {
      if (path === '' && query === '') {
        bare ??= buildLocation(long, '');
        return bare;
      }
      return buildLocation(path === '' ? long : head + joint + path + tail, query);
    },
  };
}

function asGolinkError(error: TemplateError): GolinkError {
  const code = words[error.kind];
  const message =
    error.kind === 'user'
      ? 'link requires a valid user'
      : `The destination of this link does not work: ${error.message}.`;
  return new GolinkError(code, message, { cause: error });
}

/** Characters a destination may have. */
export const MAX_DESTINATION: number = 16 * 1024;

/** Throws GolinkError ERR_DESTINATION when this must not be saved. */
export function checkDestination(long: string): void {
  const refuse = (why: string, cause?: unknown): GolinkError =>
    new GolinkError('ERR_DESTINATION', why, { cause });
  if (long.length > MAX_DESTINATION)
    throw refuse(`long may have at most ${MAX_DESTINATION} characters`);
  if (long.includes('{{')) {
    try {
      parse(long);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw refuse(`long contains an invalid template: ${error.message}`, error);
    }
  }
  const scheme = /^[\u0000-\u0020]*([A-Za-z][A-Za-z0-9+.\t\r\n-]*):/.exec(long)?.[1];
  const name = scheme?.replace(/[\t\r\n]/g, '').toLowerCase();
  if (name !== undefined && /^(?:javascript|vbscript|data|blob|filesystem|view-source)$/.test(name))
    throw refuse(
      `long may not be a ${name}: address, because it would run or pass as a page of ours`,
    );
}
