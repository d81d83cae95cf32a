// The service: a store, who may do what, and the request handler. A visit to a link is answered here, before any
// framework sees the request; everything else goes to the pages.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { Callers, FormTokens, type Identify, isOwnHost, WebError } from '@cove/web';
import { Access } from './access.ts';
import type { Destination, Visit } from './destination.ts';
import { GolinkError } from './errors.ts';
import { pathEscape } from './escape.ts';
import { send, snapshotOf } from './export.ts';
import { type Link, trimPunctuation } from './links.ts';
import { DEFAULT_SCHEMES, schemeSet } from './location.ts';
import {
  destinationOf,
  findLink,
  leadsInCircles,
  ownPath,
  resolveArgument,
  splitPath,
  tooLong,
} from './lookup.ts';
import { ailment, METRICS_TYPE, Metrics } from './metrics.ts';
import { redirect, redirectPage } from './redirect.ts';
import { Pages } from './routes.ts';
import { identifyService, type ServiceMode } from './servicemode.ts';
import { type ImportOptions, type ImportReport, importSnapshot } from './snapshot.ts';
import { Store } from './store/store.ts';
import { readTarget, type Target, tidyTarget } from './target.ts';

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
  /** Lists, exports and other pages only for callers the network knows. Links are followed by anyone. */
  readonly requireIdentity?: boolean;
  /**
   * golink is behind the HTTP proxy of a node that carries this service, and believes the identity that the proxy, on
   * this machine, puts into headers.
   */
  readonly service?: ServiceMode;
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
  /**
   * Writes a snapshot of all links, on request with their clicks, and ends the stream. All of it is as it was at one moment.
   * Rejects, and stops reading, when the stream is destroyed.
   */
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
    requireIdentity = false,
    countVisitors = false,
  } = options;
  const schemes = options.schemes === undefined ? DEFAULT_SCHEMES : schemeSet(options.schemes);
  if (hostname === '') throw new TypeError('hostname: must not be empty');
  const identify =
    options.service === undefined
      ? options.identify
      : identifyService(options.service, options.identify);
  const store = await Store.open({ database: options.database, now, log, countVisitors });
  const callers = new Callers(identify);
  const access = new Access({ readOnly, allowUnknownUsers, isKnownUser, schemes });
  const tokens = new FormTokens(await store.secret('form-tokens', 32), now);
  const metrics = new Metrics(store);
  const ownName = hostname.toLowerCase();
  const ownHosts = (): readonly string[] => [hostname, ...hosts()];
  const pages = new Pages({
    ...{ store, access, tokens, callers, hostname, title, now, log, isPeerName },
    hosts: ownHosts,
  });

  /** Answers at once where nothing needs to be waited for. */
  function visit(req: IncomingMessage, res: ServerResponse, path: string, query: string) {
    const { short, rest } = splitPath(path);
    if (short.endsWith('+'))
      return redirectPage(req, res, 302, `/.detail/${pathEscape(short.slice(0, -1))}`);
    const found = findLink(store, short);
    const next = (link: Link | undefined): void | Promise<void> =>
      link === undefined ? miss(req, res, short) : follow(req, res, link, rest, query);
    return found instanceof Promise ? found.then(next) : next(found);
  }

  function miss(req: IncomingMessage, res: ServerResponse, short: string): Promise<void> {
    store.clicks.miss(trimPunctuation(short));
    metrics.miss(short);
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
    const host = req.headers.host ?? '';
    if (destination.usesUser || countVisitors)
      return login(req).then((user) =>
        leave(res, link, destination, { path, query, user, now: now(), host, schemes }),
      );
    const visited = { path, query, user: undefined, now: now(), host, schemes };
    return leave(res, link, destination, visited);
  }

  /** What leads to a link here is followed on, so that nobody is sent in circles. */
  function leave(
    res: ServerResponse,
    link: Link,
    destination: Destination,
    visited: Visit & { readonly host: string },
  ): void | Promise<void> {
    store.clicks.count(link.id, visited.user);
    metrics.click(link.short);
    const location = destination.locate(visited);
    const names = [ownName, visited.host.toLowerCase()];
    const path = ownPath(location, names);
    if (path === undefined) return redirect(res, location);
    return leadsInCircles(store, path, names, visited).then((circles) => {
      if (circles) throw tooLong(`${hostname}/${link.short}`);
      redirect(res, location);
    });
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

  /** Pages; for machines, counts and whether all is well. */
  async function serve(req: IncomingMessage, res: ServerResponse, target: Target): Promise<void> {
    // Before anything takes the headers off that tell who it is.
    if (options.service !== undefined) void callers.of(req);
    const { path } = target;
    if (path === '/.healthz') return answer(res, await ailment(store));
    if (requireIdentity && !isForAnyone(path, req)) await refuseUnknown(req);
    const tidy = tidyTarget(target);
    if (tidy !== undefined) return redirectPage(req, res, 307, tidy);
    if (path !== '/.metrics') return pages.serve(req, res, target);
    if (!isOwnHost(req.headers.host, ownHosts()))
      throw new WebError(
        'ERR_FOREIGN_HOST',
        'This service does not answer under that host name. Use its own name or address.',
      );
    const text = await metrics.text();
    res.writeHead(200, { 'Content-Type': METRICS_TYPE, 'Cache-Control': 'no-store' }).end(text);
  }

  async function refuseUnknown(req: IncomingMessage): Promise<void> {
    const who = await callers.of(req);
    if (who === undefined)
      throw new GolinkError(
        'ERR_FORBIDDEN',
        'Only callers this network knows may see this; links can be followed by anyone.',
      );
  }

  const close = (): Promise<void> => {
    metrics.close();
    return store.close();
  };
  return {
    handler: (req, res) => {
      const target = readTarget(req.url ?? '');
      if (target === undefined)
        pages.problem(
          req,
          res,
          new GolinkError('ERR_REQUEST', 'The address has a % that must be written as %25.'),
        );
      else {
        const isPage = target.path === '/' || target.path.startsWith('/.');
        try {
          const answered = isPage
            ? serve(req, res, target)
            : visit(req, res, target.path, target.query);
          answered?.catch((error: unknown) => pages.problem(req, res, error));
        } catch (error) {
          pages.problem(req, res, error);
        }
      }
    },
    importSnapshot: (source, importOptions) =>
      importSnapshot(store, source, { login: '', node: '' }, { schemes, ...importOptions }),
    exportTo: (stream, exportOptions) => send(snapshotOf(store, exportOptions), stream),
    resolve: (argument, user) =>
      resolveArgument(store, argument, hostname, { user, now: now(), schemes }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** What tells nothing of links, and the API where a token says who asks. */
function isForAnyone(path: string, req: IncomingMessage): boolean {
  return (
    path.startsWith('/.static/') ||
    path === '/.help' ||
    path === '/.opensearch' ||
    (path.startsWith('/.api/') && req.headers.authorization !== undefined)
  );
}

/** Whether all is well. */
function answer(res: ServerResponse, problem: string | undefined): void {
  res.writeHead(problem === undefined ? 200 : 503, {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
  });
  res.end(`${problem ?? 'ok'}\n`);
}
