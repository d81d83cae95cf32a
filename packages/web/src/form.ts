// Reading a submitted form: urlencoded or multipart, never more than a limit in memory.
import type { IncomingMessage } from 'node:http';
import { readBody } from './body.ts';
import { WebError } from './errors.ts';

/** First value of each text field; files are ignored. */
export type FormFields = ReadonlyMap<string, string>;

export interface ReadFormOptions {
  /** Bytes of body at most. */
  readonly limit?: number;
  /** What is no form, and what of a form is not well-formed, is left out rather than refused, as Go's net/http does. */
  readonly lenient?: boolean;
}

export const DEFAULT_FORM_LIMIT: number = 256 * 1024;

/**
 * Reads the whole body. A request without one gives no fields; `lenient`, one of a method other than POST, PUT and PATCH
 * neither.
 * Throws WebError ERR_BODY_TOO_LARGE (the rest stays unread: close the connection), ERR_BODY_TYPE, ERR_BODY_MALFORMED.
 */
export async function readForm(
  req: IncomingMessage,
  options: ReadFormOptions = {},
): Promise<FormFields> {
  const { limit = DEFAULT_FORM_LIMIT, lenient = false } = options;
  if (lenient && !/^(?:POST|PUT|PATCH)$/.test(req.method ?? '')) return new Map();
  const body = await readBody(req, limit);
  if (body.length === 0) return new Map();
  const type = req.headers['content-type'] ?? '';
  if (/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type)) {
    const text = body.toString('utf8');
    return firstValues(lenient ? wellFormedPairs(text) : new URLSearchParams(text));
  }
  if (!/^multipart\/form-data\s*;/i.test(type)) {
    if (lenient) return new Map();
    throw new WebError('ERR_BODY_TYPE', 'The body must be a form: urlencoded or multipart.');
  }
  try {
    const form = await new Response(body, { headers: { 'content-type': type } }).formData();
    return firstValues(form);
  } catch (cause) {
    if (lenient) return new Map();
    throw new WebError('ERR_BODY_MALFORMED', 'The form could not be read.', { cause });
  }
}

/** Pairs of a query or an urlencoded form, without those that have a bad escape or a semicolon (Go's net/url). */
export function wellFormedPairs(text: string): URLSearchParams {
  const isWellFormed = (pair: string): boolean => !/;|%(?![0-9A-Fa-f]{2})/.test(pair);
  return new URLSearchParams(text.split('&').filter(isWellFormed).join('&'));
}

function firstValues(entries: Iterable<readonly [string, unknown]>): FormFields {
  const fields = new Map<string, string>();
  for (const [name, value] of entries) {
    if (typeof value === 'string' && !fields.has(name)) fields.set(name, value);
  }
  return fields;
}
