// Reading a submitted form: urlencoded or multipart, never more than a limit in memory.
import type { IncomingMessage } from 'node:http';
import { readBody } from './body.ts';
import { WebError } from './errors.ts';

/** First value of each text field; files are ignored. */
export type FormFields = ReadonlyMap<string, string>;

export interface ReadFormOptions {
  /** Bytes of body at most. */
  readonly limit?: number;
}

export const DEFAULT_FORM_LIMIT: number = 256 * 1024;

/**
 * Reads the whole body. A request without one gives no fields.
 * Throws WebError ERR_BODY_TOO_LARGE (the rest stays unread: close the connection), ERR_BODY_TYPE, ERR_BODY_MALFORMED.
 */
export async function readForm(
  req: IncomingMessage,
  options: ReadFormOptions = {},
): Promise<FormFields> {
  const limit = options.limit ?? DEFAULT_FORM_LIMIT;
  const body = await readBody(req, limit);
  if (body.length === 0) return new Map();
  const type = req.headers['content-type'] ?? '';
  if (/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type))
    return firstValues(new URLSearchParams(body.toString('utf8')));
  if (!/^multipart\/form-data\s*;/i.test(type))
    throw new WebError('ERR_BODY_TYPE', 'The body must be a form: urlencoded or multipart.');
  try {
    const form = await new Response(body, { headers: { 'content-type': type } }).formData();
    return firstValues(form);
  } catch (cause) {
    throw new WebError('ERR_BODY_MALFORMED', 'The form could not be read.', { cause });
  }
}

function firstValues(entries: Iterable<readonly [string, unknown]>): FormFields {
  const fields = new Map<string, string>();
  for (const [name, value] of entries) {
    if (typeof value === 'string' && !fields.has(name)) fields.set(name, value);
  }
  return fields;
}
