// What the handlers of pages share: who asks, how a page is sent, how an error is answered.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WhoIs } from '@cove/tsnet';
import {
  Assets,
  type Callers,
  type FormFields,
  type FormTokens,
  imageOrigin,
  isOwnHost,
  securityHeaders,
  WebError,
  wellFormedPairs,
} from '@cove/web';
import type { Express, Request } from 'express';
import type { Access, Caller } from '../access.ts';
import { GolinkError } from '../errors.ts';
import { LinkEditor } from '../linkeditor.ts';
import { keepable } from '../links.ts';
import type { Scene } from '../pages/frame.ts';
import { problemPage } from '../pages/problem.ts';
import type { Store } from '../store/store.ts';

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

/** Adds routes that belong together. */
export type Mount = (app: Express, desk: Desk) => void;

export const NOT_FOUND = '404 page not found';

export class Desk {
  readonly options: PagesOptions;
  readonly assets: Assets = new Assets('/.static/');
  readonly editor: LinkEditor;

  constructor(options: PagesOptions) {
    this.options = options;
    this.editor = new LinkEditor(options.store, options.access);
  }

  get store(): Store {
    return this.options.store;
  }

  isOwn(req: IncomingMessage): boolean {
    return isOwnHost(req.headers.host, this.options.hosts());
  }

  send(res: ServerResponse, document: string): void {
    res.setHeader('Content-Type', 'text/html; charset=utf-8');
    res.end(document);
  }

  sceneOf(res: ServerResponse, who: WhoIs | undefined): Scene {
    const origin = imageOrigin(who?.user.profilePicUrl);
    const headers = securityHeaders(origin === undefined ? {} : { imageOrigins: [origin] });
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
    const { hostname, title, access, store } = this.options;
    return {
      ...{ assets: this.assets, host: hostname, title, who },
      readOnly: access.options.readOnly,
      countsVisitors: store.clicks.countsVisitors,
    };
  }

  /** For pages that anyone may see: a caller who cannot be told is nobody. */
  async scene(req: IncomingMessage, res: ServerResponse): Promise<Scene> {
    const who = await this.options.callers.of(req).catch(() => undefined);
    return this.sceneOf(res, who);
  }

  /** For pages that need a caller. Throws GolinkError ERR_IDENTITY. */
  async caller(req: IncomingMessage): Promise<Caller> {
    let who: WhoIs | undefined;
    try {
      who = await this.options.callers.of(req);
    } catch (cause) {
      const message = `It could not be told who you are: ${sentence(cause)}`;
      throw new GolinkError('ERR_IDENTITY', message, { cause });
    }
    return this.options.access.caller(who);
  }

  /** Throws GolinkError ERR_TOKEN unless one of `actions` is what the form was made for. */
  verify(form: FormFields, caller: Caller, ...actions: readonly string[]): void {
    const token = form.get('xsrf') ?? '';
    if (!actions.some((action) => this.options.tokens.verify(token, caller.login, action)))
      throw new GolinkError('ERR_TOKEN', 'invalid XSRF token');
  }

  /** Any error as an answer: a page for browsers, a line of text for others. */
  problem(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    const known = error instanceof GolinkError || error instanceof WebError;
    const status = known ? error.status : 500;
    if (!known || (error instanceof GolinkError && error.code.startsWith('ERR_DATABASE')))
      this.options.log(
        `${req.method} ${req.url}: ${error instanceof Error ? error.message : error}`,
      );
    const message = known ? error.message : 'Something went wrong here. It has been noted.';
    // A body that was not read to its end leaves the connection in no state to go on.
    if (error instanceof WebError && error.code.startsWith('ERR_BODY'))
      res.setHeader('Connection', 'close');
    if (!this.isOwn(req)) {
      this.answer(req, res, status, message, undefined);
      return;
    }
    this.options.callers.of(req).then(
      (who) => this.answer(req, res, status, message, who),
      () => this.answer(req, res, status, message, undefined),
    );
  }

  answer(
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
      this.send(res, problemPage(this.sceneOf(res, who), status, spelledOut(message)));
      return;
    }
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    res.setHeader('X-Content-Type-Options', 'nosniff');
    res.end(`${message}\n`);
  }
}

/** A substring test, without weights: programs that accept anything get JSON. */
export function wantsHtml(req: IncomingMessage): boolean {
  return /text\/html/i.test(req.headers.accept ?? '');
}

/** Express splits a wildcard at slashes. */
export function nameOf(req: Request): string {
  const name: unknown = req.params['name'];
  const text = Array.isArray(name) ? name.join('/') : typeof name === 'string' ? name : '';
  return keepable(text);
}

/** The first value of the query; empty when absent. */
export function queryOf(req: Request, name: string): string {
  const mark = req.url.indexOf('?');
  const text = mark < 0 ? '' : wellFormedPairs(req.url.slice(mark + 1)).get(name);
  return keepable(text ?? '');
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const SPELLED_OUT: Readonly<Record<string, string>> = {
  [NOT_FOUND]: 'There is no page or link at this address.',
  'invalid XSRF token':
    'Nothing was done, because of an invalid XSRF token: the form was open for more than a day, or was not made for you. Send it again from its page.',
};

/** For people, what golink says to programs in few words. */
export function spelledOut(message: string): string {
  return SPELLED_OUT[message] ?? message;
}
