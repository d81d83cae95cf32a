// A link's destination, compiled once: default appending for a plain URL, a template when it contains `{{`.
import { GolinkError } from './errors.ts';
import type { Link } from './links.ts';
import { buildLocation, DEFAULT_SCHEMES } from './location.ts';
import { evaluate } from './template/evaluate.ts';
import { parse, reads } from './template/parse.ts';
import { TemplateError, type TemplateSet } from './template/syntax.ts';
import { Time } from './template/time.ts';
import { toBytes } from './template/utf8.ts';
import type { Environment } from './template/values.ts';

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
  /** The Host header; empty unless given. */
  readonly host?: string;
  /** Schemes that are followed, in lower case; `DEFAULT_SCHEMES` unless given. */
  readonly schemes?: ReadonlySet<string>;
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
  let template: TemplateSet;
  try {
    template = parse(long);
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
  const usesUser = reads(template, 'User');
  // A template that places the query itself does not get it merged in as well.
  const takesQuery = reads(template, 'Query');
  return {
    usesUser,
    locate: (visit) => {
      const env = new VisitEnvironment(visit);
      let expanded: string;
      try {
        expanded = evaluate(template, env, long);
      } catch (error) {
        throw error instanceof TemplateError ? asGolinkError(error) : error;
      }
      return buildLocation(expanded, takesQuery ? '' : env.query, visit.schemes);
    },
  };
}

/** A visit as templates read it; what few of them read is made when it is. */
class VisitEnvironment implements Environment {
  readonly path: string;
  readonly query: string;
  readonly #visit: Visit;

  constructor(visit: Visit) {
    this.#visit = visit;
    this.path = toBytes(visit.path);
    this.query = toBytes(visit.query);
  }

  get user(): string | undefined {
    const { user } = this.#visit;
    return user === undefined ? undefined : toBytes(user);
  }
  get host(): string {
    return toBytes(this.#visit.host ?? '');
  }
  get now(): Time {
    return new Time(this.#visit.now);
  }
}

function compilePlain(long: string, append: Link['append']): Destination {
  const end = append === 'path' ? long.search(/[?#]|$/) : long.length;
  const [head, tail] = [long.slice(0, end), long.slice(end)];
  const joint = head.endsWith('/') ? '' : '/';
  const whole = toBytes(long);
  let bare: string | undefined;
  let bareSchemes: ReadonlySet<string> | undefined;
  return {
    usesUser: false,
    locate: ({ path, query, schemes }) => {
      if (path === '' && query === '') {
        if (bare === undefined || bareSchemes !== schemes) {
          bare = buildLocation(whole, '', schemes);
          bareSchemes = schemes;
        }
        return bare;
      }
      const appended = path === '' ? whole : toBytes(head + joint + path + tail);
      return buildLocation(appended, toBytes(query), schemes);
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

/**
 * Throws GolinkError ERR_DESTINATION when this must not be saved. `schemes`: those that are followed. A template is held
 * to them as far as it begins with a scheme; what else it gives is checked when it is visited.
 */
export function checkDestination(
  long: string,
  schemes: ReadonlySet<string> = DEFAULT_SCHEMES,
): void {
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
  // Browsers drop white space in front of a scheme and tabs and newlines inside it.
  const scheme = /^[\u0000-\u0020]*([A-Za-z][A-Za-z0-9+.\t\r\n-]*):/.exec(long)?.[1];
  const name = scheme?.replace(/[\t\r\n]/g, '').toLowerCase();
  if (name !== undefined && !schemes.has(name))
    throw refuse(
      `long may not be a ${name}: address; these are allowed: ${[...schemes].join(', ')}, and addresses without a scheme`,
    );
}
