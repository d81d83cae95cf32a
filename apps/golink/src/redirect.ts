// Redirects: of a link, without a body; of pages, with the short page that golink sends along.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { html } from '@cove/web';

/** `location`: a byte string. */
export function redirect(res: ServerResponse, location: string): void {
  res.writeHead(302, { Location: location, 'Content-Length': 0 }).end();
}

const TEXTS = {
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  307: 'Temporary Redirect',
} as const;

/** For those who asked with GET, a link to click as well. */
export function redirectPage(
  req: IncomingMessage,
  res: ServerResponse,
  status: keyof typeof TEXTS,
  location: string,
): void {
  res.statusCode = status;
  res.setHeader('Location', location);
  if (req.method === 'GET' || req.method === 'HEAD')
    res.setHeader('Content-Type', 'text/html; charset=utf-8');
  const page = html`<a href="${location}">${TEXTS[status]}</a>.\n\n`.toString();
  res.end(req.method === 'GET' ? page : undefined);
}
