// Everything under `/` and `/.`: pages, JSON, saving and deleting.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { WhoIs } from '@cove/tsnet';
import {
  Assets,
  type Callers,
  type FormTokens,
  imageOrigin,
  isOwnHost,
  readForm,
  refuseCrossSite,
  refuseForeignHost,
  secureHeaders,
  securityHeaders,
  WebError,
} from '@cove/web';
import express, { type Express, type Request, type Response } from 'express';
import type { Access, Caller } from './access.ts';
import { API_ROOT, Api } from './api/api.ts';
import { Editor, NEW_LINK } from './editing.ts';
import { GolinkError } from './errors.ts';
import { pathEscape } from './escape.ts';
import { LinkEditor } from './linkeditor.ts';
import { linkId, linkJson } from './links.ts';
import { deletedPage, detailPage, savedPage } from './pages/detail.ts';
import { composer, type Draft, type Scene, type Section } from './pages/frame.ts';
import { helpPage, openSearch } from './pages/help.ts';
import { homePage } from './pages/home.ts';
import { listPage } from './pages/list.ts';
import { problemPage } from './pages/problem.ts';
import { snapshotOf } from './snapshot.ts';
import { changesOf } from './store/history.ts';
import { countedLink, countLinks, type ListQuery, listLinks } from './store/listing.ts';
import type { Store } from './store/store.ts';
import { cleanPath, encodePath, type Target } from './target.ts';

export interface PagesOptions {
  readonly store: Store;
  readonly access: Access;
  readonly tokens: FormTokens;
  readonly callers: Callers;
  readonly hostname: string;
  readonly title: string;
  readonly hosts: () => readonly string[];
  readonly isPeerName: (name: string) => boolean;
  readonly now: () => number;
  readonly log: (message: string) => void;
}

const NOT_FOUND = '404 page not found';
const MAX_POPULAR = 200;
const MAX_RECENT = 8;
const MAX_CHANGES = 12;
/** Links on one page of a list. */
const PAGE_ROWS = 1_000;

export class Pages {
  readonly #options: PagesOptions;
  readonly #assets: Assets = new Assets('/.static/');
  readonly #editor: Editor;
  readonly #api: Api;
  readonly #app: Express;

  constructor(options: PagesOptions) {
    this.#options = options;
    const { store, access, tokens, now } = options;
    this.#editor = new Editor(store, access, tokens, now);
    this.#api = new Api({
      ...{ store, access, title: options.title, log: options.log },
      editor: new LinkEditor(store, access),
      caller: (req) => this.#caller(req),
    });
    this.#app = this.#routes();
  }

  /** Answers any target that is `/` or begins with `/.`. */
  serve(req: IncomingMessage, res: ServerResponse, target: Target): void {
    let path = cleanPath(target.path);
    if (path === '/.detail' || path === '/.delete' || path === '/.static') path += '/';
    const query = target.query === '' ? '' : `?${target.query}`;
    if (path !== target.path) {
      // 307 keeps the method of a form.
      res.writeHead(307, { Location: encodePath(path) + query, 'Content-Length': 0 }).end();
      return;
    }
    // Routes match decoded paths.
    req.url = encodePath(path) + query;
    this.#app(req, res);
  }

  #routes(): Express {
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
    app.use((req, res, next) => {
      if (!this.#assets.serve(req, res)) next();
    });
    app.use(this.#options.callers.middleware());
    app.use(secureHeaders());
    app.use(refuseForeignHost(this.#options.hosts));
    app.use(refuseCrossSite());
    app.use((_req, res, next) => {
      res.setHeader('Cache-Control', 'private, no-cache');
      next();
    });
    app.use(API_ROOT, (req, res) => {
      const [path = '', search = ''] = req.url.split(/\?(.*)/s);
      return this.#api.serve(req, res, path, search);
    });
    app.head('/', (_req, res) => void res.status(200).end());
    app.get('/', (req, res) => this.#home(req, res));
    app.post('/', (req, res) => this.#save(req, res));
    app.all('/', (_req, res) => void res.status(200).end());
    app.all('/.detail/{*name}', (req, res) => this.#detail(req, res, nameOf(req)));
    app.all('/.delete/{*name}', (req, res) => this.#delete(req, res, nameOf(req)));
    app.all('/.all', (req, res) => this.#all(req, res));
    app.all('/.search', (req, res) => this.#search(req, res));
    app.all('/.mine', (req, res) => this.#mine(req, res));
    app.all('/.help', async (req, res) => this.#send(res, helpPage(await this.#scene(req, res))));
    app.all('/.opensearch', (_req, res) => {
      res.type('application/opensearchdescription+xml');
      res.end(openSearch(this.#options.hostname, this.#options.title));
    });
    app.all('/.export', (_req, res) => {
      res.setHeader('Content-Type', 'text/plain; charset=utf-8');
      return pipeline(Readable.from(snapshotOf(this.#options.store)), res);
    });
    app.all('/.export-stats', async (_req, res) => {
      const { store } = this.#options;
      await store.flush();
      res.setHeader('Content-Type', 'text/plain; charset=utf-8');
      await pipeline(Readable.from(statsLines(store)), res);
    });
    app.use((_req, _res) => {
      throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
    });
    app.use((error: unknown, req: Request, res: Response, _next: () => void) =>
      this.problem(req, res, error),
    );
    return app;
  }

  /** The page for a name no link has: home with the form filled in, status 404. */
  async notFound(req: IncomingMessage, res: ServerResponse, short: string): Promise<void> {
    const { callers, access, isPeerName } = this.#options;
    // Links work under any name; a page, which names the caller and carries a form token, does not.
    if (!this.#isOwn(req)) {
      res.writeHead(404, {
        'Content-Type': 'text/plain; charset=utf-8',
        'X-Content-Type-Options': 'nosniff',
      });
      res.end(`${NOT_FOUND}\n`);
      return;
    }
    for (const [name, value] of Object.entries(securityHeaders())) res.setHeader(name, value);
    let caller: Caller;
    try {
      caller = access.caller(await callers.of(req));
    } catch (error) {
      this.#answer(req, res, 404, sentence(error), undefined);
      return;
    }
    if (/application\/json/i.test(req.headers.accept ?? '') && !wantsHtml(req)) {
      res.writeHead(404, { 'Content-Type': 'application/json' });
      res.end(`${JSON.stringify({ error: `There is no link ${short}.` })}\n`);
      return;
    }
    const isPeer = short !== '' && isPeerName(short);
    const draft = { short, ...(isPeer ? { long: `http://${short}/` } : {}) };
    res.statusCode = 404;
    this.#send(
      res,
      await this.#homeFor(this.#sceneOf(res, caller.who), caller, {
        draft,
        missing: short,
        isPeer,
      }),
    );
  }

  /** Any error as an answer: a page for browsers, a line of text for others. */
  problem(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    const known = error instanceof GolinkError || error instanceof WebError;
    const status = known ? error.status : 500;
    if (!known || (error instanceof GolinkError && error.code.startsWith('ERR_DATABASE')))
      this.#options.log(
        `${req.method} ${req.url}: ${error instanceof Error ? error.message : error}`,
      );
    const message = known ? error.message : 'Something went wrong here. It has been noted.';
    // A body that was not read to its end leaves the connection in no state to go on.
    if (error instanceof WebError && error.code.startsWith('ERR_BODY'))
      res.setHeader('Connection', 'close');
    if (!this.#isOwn(req)) {
      this.#answer(req, res, status, message, undefined);
      return;
    }
    this.#options.callers.of(req).then(
      (who) => this.#answer(req, res, status, message, who),
      () => this.#answer(req, res, status, message, undefined),
    );
  }

  #isOwn(req: IncomingMessage): boolean {
    return isOwnHost(req.headers.host, this.#options.hosts());
  }

  #answer(
    req: IncomingMessage,
    res: ServerResponse,
    status: number,
    message: string,
    who: WhoIs | undefined,
  ): void {
    if (res.headersSent) {
      res.destroy();
      return;
    }
    res.statusCode = status;
    if (wantsHtml(req)) {
      const shown = message === NOT_FOUND ? 'There is no page or link at this address.' : message;
      this.#send(res, problemPage(this.#sceneOf(res, who), status, shown));
      return;
    }
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    res.setHeader('X-Content-Type-Options', 'nosniff');
    res.end(`${message}\n`);
  }

  #send(res: ServerResponse, document: string): void {
    res.setHeader('Content-Type', 'text/html; charset=utf-8');
    res.end(document);
  }

  #sceneOf(res: ServerResponse, who: WhoIs | undefined): Scene {
    const origin = imageOrigin(who?.user.profilePicUrl);
    const headers = securityHeaders(origin === undefined ? {} : { imageOrigins: [origin] });
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
    const { hostname, title, access } = this.#options;
    return { assets: this.#assets, host: hostname, title, who, readOnly: access.options.readOnly };
  }

  /** For pages that anyone may see: a caller who cannot be told is nobody. */
  async #scene(req: IncomingMessage, res: ServerResponse): Promise<Scene> {
    const who = await this.#options.callers.of(req).catch(() => undefined);
    return this.#sceneOf(res, who);
  }

  /** For pages that need a caller. Throws GolinkError ERR_IDENTITY. */
  async #caller(req: IncomingMessage): Promise<Caller> {
    let who: WhoIs | undefined;
    try {
      who = await this.#options.callers.of(req);
    } catch (cause) {
      throw new GolinkError(
        'ERR_IDENTITY',
        `It could not be told who you are: ${sentence(cause)}`,
        {
          cause,
        },
      );
    }
    return this.#options.access.caller(who);
  }

  async #home(req: Request, res: Response): Promise<void> {
    const caller = await this.#caller(req);
    this.#send(res, await this.#homeFor(this.#sceneOf(res, caller.who), caller, {}));
  }

  async #homeFor(
    scene: Scene,
    caller: Caller,
    more: { readonly draft?: Draft; readonly missing?: string; readonly isPeer?: boolean },
  ): Promise<string> {
    const { store, tokens } = this.#options;
    const [popular, recent, total] = await Promise.all([
      listLinks(store, { order: 'clicks', used: true, limit: MAX_POPULAR }),
      listLinks(store, { order: 'edited', limit: MAX_RECENT }),
      countLinks(store),
    ]);
    return homePage(scene, {
      token: tokens.issue(caller.login, NEW_LINK),
      popular: popular.links,
      recent: recent.links.filter(({ link }) => link.lastEdit > 0),
      total,
      ...more,
    });
  }

  async #detail(req: Request, res: Response, name: string): Promise<void> {
    const { store, access, tokens } = this.#options;
    const counted = await countedLink(store, linkId(name));
    if (counted === undefined) throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
    const { link } = counted;
    if (name !== link.short) {
      const query = req.url.includes('?') ? req.url.slice(req.url.indexOf('?')) : '';
      res.redirect(302, `/.detail/${pathEscape(link.short)}${query}`);
      return;
    }
    if (!wantsHtml(req)) {
      res.type('application/json').end(`${linkJson(link, 2)}\n`);
      return;
    }
    const caller = await this.#caller(req);
    const editable = await access.mayEdit(link, caller);
    const ownerLeft = editable && !(await access.userExists(link.owner));
    const edit = {
      token: tokens.issue(caller.login, link.short),
      owner: ownerLeft ? caller.login : link.owner,
    };
    this.#send(
      res,
      detailPage(this.#sceneOf(res, caller.who), {
        ...counted,
        changes: await changesOf(store, { id: link.id, limit: MAX_CHANGES }),
        exists: req.query['exists'] !== undefined,
        ...(editable ? { edit } : {}),
      }),
    );
  }

  async #save(req: Request, res: Response): Promise<void> {
    const form = await readForm(req);
    const field = (name: string): string => {
      const asked = req.query[name];
      return form.get(name) ?? (typeof asked === 'string' ? asked : '');
    };
    const short = field('short');
    // Space around an address is never meant; it comes with pasting.
    const long = field('long').trim();
    try {
      const { link, outcome } = await this.#editor.save({
        ...{ short, long, owner: field('owner'), token: form.get('xsrf') ?? '' },
        // Browsers let no page send a header that begins with Sec-.
        trusted: Boolean(req.headers['sec-golink']),
        caller: () => this.#caller(req),
      });
      if (outcome === 'taken') {
        res.redirect(303, `/.detail/${pathEscape(link.short)}?exists=1`);
      } else if (wantsHtml(req)) {
        const { who } = await this.#caller(req);
        this.#send(res, savedPage(this.#sceneOf(res, who), link, outcome === 'created'));
      } else res.type('application/json').end(`${linkJson(link)}\n`);
    } catch (error) {
      if (!(error instanceof GolinkError) || !wantsHtml(req) || !MENDABLE.has(error.code))
        throw error;
      // The form again, with what was typed.
      const caller = await this.#caller(req);
      const draft = { short, long, problem: error.message };
      res.status(error.status);
      this.#send(res, await this.#homeFor(this.#sceneOf(res, caller.who), caller, { draft }));
    }
  }

  async #delete(req: Request, res: Response, name: string): Promise<void> {
    const { store, tokens } = this.#options;
    const clicks = (await countedLink(store, linkId(name)))?.clicks ?? 0;
    const link = await this.#editor.delete({
      short: name,
      token: async () => (await readForm(req)).get('xsrf') ?? '',
      caller: () => this.#caller(req),
    });
    const caller = await this.#caller(req);
    const scene = this.#sceneOf(res, caller.who);
    const again = composer(scene, tokens.issue(caller.login, NEW_LINK), link);
    this.#send(res, deletedPage(scene, link, clicks, again));
  }

  async #all(req: Request, res: Response): Promise<void> {
    await this.#list(
      req,
      res,
      '/.all',
      {},
      {
        heading: 'All links',
        current: 'all',
        empty: 'No links yet.',
      },
    );
  }

  async #search(req: Request, res: Response): Promise<void> {
    const query = req.query['q'];
    const owner = /^owner:(.*)$/s.exec(typeof query === 'string' ? query : '')?.[1];
    if (owner === undefined)
      throw new GolinkError('ERR_REQUEST', 'search only supports "owner:<email>"');
    const caller = await this.#options.callers.of(req).catch(() => undefined);
    const own = caller !== undefined && asciiLower(caller.user.loginName) === asciiLower(owner);
    const path = `/.search?q=${encodeURIComponent(`owner:${owner}`)}`;
    await this.#list(
      req,
      res,
      path,
      { owner },
      {
        heading: own ? 'My links' : `Links of ${owner}`,
        ...(own ? { current: 'mine' } : {}),
        empty: own ? 'You have not made a link yet.' : 'No links.',
      },
    );
  }

  async #mine(req: Request, res: Response): Promise<void> {
    const caller = await this.#caller(req);
    res.redirect(302, `/.search?q=${encodeURIComponent(`owner:${caller.login}`)}`);
  }

  /** `path`: of the list's first page. */
  async #list(
    req: Request,
    res: Response,
    path: string,
    query: Omit<ListQuery, 'limit' | 'after'>,
    content: { readonly heading: string; readonly current?: Section; readonly empty: string },
  ): Promise<void> {
    const { store } = this.#options;
    const after = req.query['after'];
    const [page, total] = await Promise.all([
      listLinks(store, {
        ...query,
        limit: PAGE_ROWS,
        ...(typeof after === 'string' && { after }),
      }),
      countLinks(store, query),
    ]);
    const next =
      page.next === undefined
        ? undefined
        : `${path}${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(page.next)}`;
    const scene = await this.#scene(req, res);
    this.#send(res, listPage(scene, page.links, { ...content, total, next }));
  }
}

async function* statsLines(store: Store): AsyncGenerator<string> {
  for await (const rows of store.clicks.export())
    yield rows.map(({ id, at, clicks }) => `${id},${at},${clicks}\n`).join('');
}

/** Errors that a person can mend in the form. */
const MENDABLE: ReadonlySet<string> = new Set([
  'ERR_NAME',
  'ERR_DESTINATION',
  'ERR_FORBIDDEN',
  'ERR_OWNER',
  'ERR_TOKEN',
]);

/** Upper and lower case of the Latin letters are one for searching. */
function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** A substring test, without weights: programs that accept anything get JSON. */
function wantsHtml(req: IncomingMessage): boolean {
  return /text\/html/i.test(req.headers.accept ?? '');
}

/** Express splits a wildcard at slashes. */
function nameOf(req: Request): string {
  const name: unknown = req.params['name'];
  return Array.isArray(name) ? name.join('/') : typeof name === 'string' ? name : '';
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
