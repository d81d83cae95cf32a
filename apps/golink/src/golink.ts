// The service: a store, who may do what, and the request handler. A visit to a link is answered here, before any
// framework sees the request; everything else goes to the pages.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Callers, FormTokens, type Identify } from '@cove/web';
import { Access } from './access.ts';
import { GolinkError } from './errors.ts';
import { pathEscape } from './escape.ts';
import { type Link, trimPunctuation } from './links.ts';
import { DEFAULT_SCHEMES, schemeSet } from './location.ts';
import { destinationOf, findLink, resolveArgument, splitPath } from './lookup.ts';
import { Pages } from './routes.ts';
import { type ImportOptions, type ImportReport, importSnapshot, snapshotOf } from './snapshot.ts';
import { Store } from './store/store.ts';
import { readTarget } from './target.ts';

export interface GolinkOptions {
  /**
   * Path of the SQLite file, made if absent, readable by its owner only; `:memory:` for none; or the `postgres://`
   * address of a database that several replicas may share.
   */
  readonly database: string;
  /**
   * The caller of a request, from the tunnel; undefined when the network does not know one; a rejection when it
   * cannot tell. No header is believed.
   */
  readonly identify: Identify;
  /** Name of the service in page titles; `Golink` unless given. */
  readonly title?: string;
  /** What people type before the slash; `go` unless given. Has no effect on what is answered. */
  readonly hostname?: string;
  /** Names, besides `hostname`, single labels, addresses and *.ts.net, under which pages are served. */
  readonly hosts?: () => readonly string[];
  /** Whether a login belongs to a user of the network; true for every login unless given. */
  readonly isKnownUser?: (login: string) => boolean | Promise<boolean>;
  /** Whether the network has a machine of that name, for a hint where no link has it. */
  readonly isPeerName?: (name: string) => boolean;
  readonly readOnly?: boolean;
  /** Callers the network does not know may make links. */
  readonly allowUnknownUsers?: boolean;
  /** Count clicks by caller and day as well; nobody's visits are recorded without it. */
  readonly countVisitors?: boolean;
  /**
   * What destinations may begin with: `http`, `https`, `mailto` and `tel` unless given. Destinations without a scheme are
   * always followed, those that browsers would run (`javascript`, `data`, ...) never.
   */
  readonly schemes?: readonly string[];
  /** Receives one sentence for each thing the person running this should know. Nothing is logged without it. */
  readonly log?: (message: string) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export interface Golink extends AsyncDisposable {
  /** A listener for `http.createServer`. Never throws. */
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void;
  /** Adds the links of a snapshot whose names are free; running it again adds nothing. */
  importSnapshot(
    source: string | AsyncIterable<Uint8Array | string>,
    options?: ImportOptions,
  ): Promise<ImportReport>;
  /** Writes a snapshot of all links, on request with their clicks, and ends the stream. */
  exportTo(stream: Writable, options?: { readonly stats?: boolean }): Promise<void>;
  /**
   * Where `name`, `name/path`, `go/name/path` or `http://anyhost/name/path` leads, following links to links here.
   * `user`: the login `.User` gives. Throws GolinkError ERR_NOT_FOUND, ERR_LOOP, ERR_USER_REQUIRED, ERR_TEMPLATE,
   * ERR_UNSUPPORTED, ERR_LOCATION.
   */
  resolve(argument: string, user?: string): Promise<string>;
  /** Writes what is still in memory and closes the database. */
  close(): Promise<void>;
}

/** Opens the database. Throws GolinkError ERR_DATABASE, ERR_DATABASE_CORRUPT, ERR_DATABASE_FOREIGN. */
export async function createGolink(options: GolinkOptions): Promise<Golink> {
  const {
    hostname = 'go',
    title = 'Golink',
    now = Date.now,
    log = () => {},
    hosts = () => [],
    isKnownUser = () => true,
    isPeerName = () => false,
    readOnly = false,
    allowUnknownUsers = false,
    countVisitors = false,
  } = options;
  const schemes = options.schemes === undefined ? DEFAULT_SCHEMES : schemeSet(options.schemes);
  if (hostname === '') throw new TypeError('hostname: must not be empty');
  const store = await Store.open({ database: options.database, now, log, countVisitors });
  const callers = new Callers(options.identify);
  const access = new Access({ readOnly, allowUnknownUsers, isKnownUser, schemes });
  const tokens = new FormTokens(await store.secret('form-tokens', 32), now);
  const pages = new Pages({
    ...{ store, access, tokens, callers, hostname, title, now, log, isPeerName },
    hosts: () => [hostname, ...hosts()],
  });

  /** Answers at once where nothing needs to be waited for. */
  function visit(req: IncomingMessage, res: ServerResponse, path: string, query: string) {
    const { short, rest } = splitPath(path);
    if (short.endsWith('+')) return redirect(res, `/.detail/${pathEscape(short.slice(0, -1))}`);
    const found = findLink(store, short);
    const next = (link: Link | undefined): void | Promise<void> =>
      link === undefined ? miss(req, res, short) : follow(req, res, link, rest, query);
    return found instanceof Promise ? found.then(next) : next(found);
  }

  function miss(req: IncomingMessage, res: ServerResponse, short: string): Promise<void> {
    store.clicks.miss(trimPunctuation(short));
    return pages.notFound(req, res, short);
  }

  function follow(
    req: IncomingMessage,
    res: ServerResponse,
    link: Link,
    path: string,
    query: string,
  ): void | Promise<void> {
    const destination = destinationOf(link);
    const visited = { path, query, host: req.headers.host ?? '', schemes };
    if (destination.usesUser || countVisitors)
      return login(req).then((user) => {
        store.clicks.count(link.id, user);
        redirect(res, destination.locate({ ...visited, user, now: now() }));
      });
    store.clicks.count(link.id);
    redirect(res, destination.locate({ ...visited, user: undefined, now: now() }));
  }

  /** A lookup that fails makes an anonymous caller: links work for everyone. */
  async function login(req: IncomingMessage): Promise<string | undefined> {
    try {
      const who = await callers.of(req);
      return who === undefined ? undefined : access.caller(who).login || undefined;
    } catch {
      return undefined;
    }
  }

  const close = (): Promise<void> => store.close();
  return {
    handler: (req, res) => {
      const target = readTarget(req.url ?? '');
      if (target === undefined)
        pages.problem(
          req,
          res,
          new GolinkError('ERR_REQUEST', 'The address is not valid percent-encoded UTF-8.'),
        );
      else if (target.path === '/' || target.path.startsWith('/.')) pages.serve(req, res, target);
      else {
        try {
          visit(req, res, target.path, target.query)?.catch((error: unknown) =>
            pages.problem(req, res, error),
          );
        } catch (error) {
          pages.problem(req, res, error);
        }
      }
    },
    importSnapshot: (source, importOptions) =>
      importSnapshot(store, source, { login: '', node: '' }, { schemes, ...importOptions }),
    exportTo: (stream, exportOptions) =>
      pipeline(Readable.from(snapshotOf(store, exportOptions)), stream),
    resolve: (argument, user) =>
      resolveArgument(store, argument, hostname, { user, now: now(), schemes }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** `location`: a byte string. */
function redirect(res: ServerResponse, location: string): void {
  res.writeHead(302, { Location: location, 'Content-Length': 0 }).end();
}
