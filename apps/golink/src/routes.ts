// Everything under `/` and `/.`: checks that every request passes, then the pages and the API.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { refuseCrossSite, refuseForeignHost, secureHeaders } from '@cove/web';
import express, { type Express, type Request, type Response } from 'express';
import { API_ROOT, Api } from './api/api.ts';
import { GolinkError } from './errors.ts';
import { fileListPage, helpPage } from './pages/help.ts';
import { redirectPage } from './redirect.ts';
import { Desk, type Mount, NOT_FOUND, type PagesOptions } from './routes/desk.ts';
import { mountHistory } from './routes/history.ts';
import { mountHome, notFound } from './routes/home.ts';
import { mountLinks } from './routes/links.ts';
import { mountLists } from './routes/lists.ts';
import { mountExports, mountStats } from './routes/stats.ts';
import { mountTokens } from './routes/tokens.ts';
import { encodePath, type Target } from './target.ts';

/** In this order: home's `/` stands before the rest of `/`. */
const MOUNTS: readonly Mount[] = [
  ...[mountHome, mountLinks, mountLists, mountHistory, mountStats, mountTokens, mountExports],
];

export class Pages {
  readonly #desk: Desk;
  readonly #api: Api;
  readonly #app: Express;

  constructor(options: PagesOptions) {
    const desk = new Desk(options);
    const { store, access, title, log } = options;
    this.#desk = desk;
    this.#api = new Api({
      ...{ store, access, title, log, editor: desk.editor },
      caller: (req) => desk.caller(req),
    });
    this.#app = this.#routes();
  }

  /** Answers any target that is `/` or begins with `/.`. */
  serve(req: IncomingMessage, res: ServerResponse, target: Target): void {
    const query = target.query === '' ? '' : `?${target.query}`;
    // Routes match decoded paths.
    req.url = encodePath(target.path) + query;
    this.#app(req, res);
  }

  /** The page for a name no link has: home with the form filled in, status 404. */
  notFound(req: IncomingMessage, res: ServerResponse, short: string): Promise<void> {
    return notFound(this.#desk, req, res, short);
  }

  /** Any error as an answer: a page for browsers, JSON of the API, a line of text for others. */
  problem(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    if (/^\/\.api\/v1(?:[/?]|$)/.test(req.url ?? '')) this.#api.refuse(req, res, error);
    else this.#desk.problem(req, res, error);
  }

  #routes(): Express {
    const desk = this.#desk;
    const { callers, hosts } = desk.options;
    const api = this.#api;
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', false);
    app.enable('case sensitive routing').enable('strict routing');
    app.use((req, res, next) => {
      if (!desk.assets.serve(req, res)) next();
    });
    app.use(callers.middleware());
    app.use(secureHeaders());
    app.use(refuseForeignHost(hosts));
    app.use(refuseCrossSite());
    app.use((_req, res, next) => {
      res.setHeader('Cache-Control', 'private, no-cache');
      next();
    });
    app.use(API_ROOT, (req, res) => {
      const [path = '', search = ''] = req.url.split(/\?(.*)/s);
      return api.serve(req, res, path, search);
    });
    for (const mount of MOUNTS) mount(app, desk);
    app.all('/.static/{:name/}', (req, res) => {
      const { names } = desk.assets;
      const name = String(req.params['name'] ?? '');
      if (names.includes(name)) redirectPage(req, res, 301, `../${name}`);
      else if (name !== '') throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
      else desk.send(res, fileListPage(names));
    });
    app.all('/.help', async (req, res) => desk.send(res, helpPage(await desk.scene(req, res))));
    app.use((_req, _res) => {
      throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
    });
    app.use((error: unknown, req: Request, res: Response, _next: () => void) =>
      this.problem(req, res, error),
    );
    return app;
  }
}
