// Static files held in memory. Each has an ETag from its content; asked for with its version in the query
// (`?v=...`) it may be kept for a year, else it is revalidated.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { FAVICON_PNG, FAVICON_SVG } from './favicon.ts';
import { STYLESHEET } from './stylesheet.ts';

interface Asset {
  readonly type: string;
  readonly body: Uint8Array;
  readonly version: string;
}

export class Assets {
  readonly #prefix: string;
  readonly #files: Map<string, Asset> = new Map();

  /** `prefix`: path the files live under, with both slashes, for instance `/.static/`. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.add('base.css', 'text/css; charset=utf-8', STYLESHEET);
    this.add('favicon.svg', 'image/svg+xml', FAVICON_SVG);
    this.add('favicon.png', 'image/png', FAVICON_PNG);
  }

  add(name: string, type: string, content: string | Uint8Array): void {
    const body = Buffer.from(content);
    const version = createHash('sha256').update(body).digest('base64url').slice(0, 16);
    this.#files.set(name, { type, body, version });
  }

  get names(): readonly string[] {
    return [...this.#files.keys()].sort();
  }

  /** Address to put into a page. Throws RangeError for a name that was never added. */
  url(name: string): string {
    const asset = this.#files.get(name);
    if (asset === undefined) throw new RangeError(`no asset named ${name}`);
    return `${this.#prefix}${name}?v=${asset.version}`;
  }

  /** Answers when the path is that of a file here; false leaves the request to others. */
  serve(req: IncomingMessage, res: ServerResponse): boolean {
    const [path = '', query = ''] = (req.url ?? '').split('?', 2);
    if (!path.startsWith(this.#prefix)) return false;
    const asset = this.#files.get(path.slice(this.#prefix.length));
    if (asset === undefined) return false;
    const etag = `"${asset.version}"`;
    res.setHeader('ETag', etag);
    res.setHeader('X-Content-Type-Options', 'nosniff');
    res.setHeader(
      'Cache-Control',
      query === `v=${asset.version}` ? 'public, max-age=31536000, immutable' : 'no-cache',
    );
    if (matches(req.headers['if-none-match'], etag)) {
      res.writeHead(304).end();
      return true;
    }
    res.writeHead(200, { 'Content-Type': asset.type, 'Content-Length': asset.body.length });
    res.end(req.method === 'HEAD' ? undefined : asset.body);
    return true;
  }
}

/** RFC 9110 13.1.2: weak comparison with any member of the list. */
function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header
    .split(',')
    .some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag);
}
