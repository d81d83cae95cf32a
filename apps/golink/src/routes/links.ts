// One link: its page, golink's own way to save and delete it, and the form that edits everything of it.
import { readForm } from '@cove/web';
import type { Request, Response } from 'express';
import { Editor, NEW_LINK } from '../editing.ts';
import { GolinkError } from '../errors.ts';
import { pathEscape } from '../escape.ts';
import { linkId, linkJson, savedJson } from '../links.ts';
import { deletedPage, savedPage } from '../pages/detail.ts';
import { redirectPage } from '../redirect.ts';
import { changesOf } from '../store/history.ts';
import { countedLink } from '../store/listing.ts';
import {
  type Desk,
  type Mount,
  NOT_FOUND,
  nameOf,
  queryOf,
  spelledOut,
  wantsHtml,
} from './desk.ts';
import { readEdit } from './editform.ts';
import { homeFor } from './home.ts';
import { linkPage } from './linkpage.ts';

export const mountLinks: Mount = (app, desk) => {
  const { store, access, tokens, now } = desk.options;
  const editor = new Editor(store, access, tokens, now);
  app.post('/', (req, res) => save(desk, editor, req, res));
  app.all('/', (_req, res) => void res.status(200).end());
  app.all('/.detail/{*name}', (req, res) => detail(desk, req, res, nameOf(req)));
  app.post('/.edit/{*name}', (req, res) => edit(desk, req, res, nameOf(req)));
  app.all('/.delete/{*name}', (req, res) => remove(desk, editor, req, res, nameOf(req)));
};

async function detail(desk: Desk, req: Request, res: Response, name: string): Promise<void> {
  const counted = await countedLink(desk.store, linkId(name));
  if (counted === undefined) throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
  const { link } = counted;
  if (name !== link.short) {
    const query = req.url.includes('?') ? req.url.slice(req.url.indexOf('?')) : '';
    redirectPage(req, res, 302, `/.detail/${pathEscape(link.short)}${query}`);
    return;
  }
  if (!wantsHtml(req)) {
    res.setHeader('Content-Type', 'application/json');
    res.end(`${linkJson(link, 2)}\n`);
    return;
  }
  const caller = await desk.caller(req);
  const notice = (['exists', 'saved', 'restored'] as const).find(
    (name) => queryOf(req, name) === '1',
  );
  const scene = desk.sceneOf(res, caller.who);
  desk.send(res, await linkPage(desk, scene, counted, caller, notice && { notice }));
}

/** golink's own form: name, destination, owner. */
async function save(desk: Desk, editor: Editor, req: Request, res: Response): Promise<void> {
  desk.editor.refuseReadOnly();
  const form = await readForm(req, { lenient: true });
  const field = (name: string): string => form.get(name) ?? queryOf(req, name);
  const short = field('short');
  // Space around an address is never meant; it comes with pasting.
  const long = field('long').trim();
  try {
    const { link, outcome, at } = await editor.save({
      ...{ short, long, owner: field('owner'), token: form.get('xsrf') ?? '' },
      // Browsers let no page send a header that begins with Sec-.
      trusted: Boolean(req.headers['sec-golink']),
      caller: () => desk.caller(req),
    });
    if (outcome === 'taken') {
      redirectPage(req, res, 303, `/.detail/${pathEscape(short)}?exists=1`);
    } else if (wantsHtml(req)) {
      const { who } = await desk.caller(req);
      desk.send(res, savedPage(desk.sceneOf(res, who), link, outcome === 'created'));
    } else {
      res.setHeader('Content-Type', 'application/json');
      res.end(`${savedJson(link, at, outcome === 'created')}\n`);
    }
  } catch (error) {
    if (!(error instanceof GolinkError) || !wantsHtml(req) || !MENDABLE.has(error.code))
      throw error;
    // The form again, with what was typed.
    const caller = await desk.caller(req);
    const draft = { short, long, problem: spelledOut(error.message) };
    res.status(error.status);
    desk.send(res, await homeFor(desk, desk.sceneOf(res, caller.who), caller, { draft }));
  }
}

/** Everything of a link; only if it still is what the form was made from. */
async function edit(desk: Desk, req: Request, res: Response, name: string): Promise<void> {
  const form = await readForm(req);
  const caller = await desk.caller(req);
  desk.editor.refuseReadOnly();
  const before = await countedLink(desk.store, linkId(name));
  const typed = readEdit(form);
  try {
    desk.verify(form, caller, name, ...(before === undefined ? [] : [before.link.short]));
    if (before === undefined)
      throw new GolinkError('ERR_NOT_FOUND', 'Somebody deleted this link while you edited it.');
    const asked = typed.ask(before.link, caller);
    const link = await desk.editor.update(name, asked, caller, { ifVersion: typed.version });
    res.redirect(303, `/.detail/${pathEscape(link.short)}?saved=1`);
  } catch (error) {
    if (!(error instanceof GolinkError) || !wantsHtml(req) || !MENDABLE.has(error.code))
      throw error;
    const scene = desk.sceneOf(res, caller.who);
    const now = await countedLink(desk.store, linkId(name));
    res.status(error.status);
    if (now === undefined) {
      const draft = { short: typed.fields.short, long: typed.fields.long, problem: error.message };
      desk.send(res, await homeFor(desk, scene, caller, { draft }));
      return;
    }
    const problem = { code: error.code, message: spelledOut(error.message) };
    desk.send(res, await linkPage(desk, scene, now, caller, { typed: typed.fields, problem }));
  }
}

async function remove(
  desk: Desk,
  editor: Editor,
  req: Request,
  res: Response,
  name: string,
): Promise<void> {
  const { store, tokens } = desk.options;
  const clicks = (await countedLink(store, linkId(name)))?.clicks ?? 0;
  const link = await editor.delete({
    short: name,
    token: async () => (await readForm(req, { lenient: true })).get('xsrf') ?? '',
    caller: () => desk.caller(req),
  });
  const caller = await desk.caller(req);
  const scene = desk.sceneOf(res, caller.who);
  const [last] = await changesOf(store, { id: link.id, limit: 1 });
  // One token for both forms: programs take the first they find, to make the link again.
  const token = tokens.issue(caller.login, NEW_LINK);
  desk.send(res, deletedPage(scene, link, clicks, token, last?.seq));
}

/** Errors that a person can mend in the form. */
const MENDABLE: ReadonlySet<string> = new Set([
  'ERR_NAME',
  'ERR_DESTINATION',
  'ERR_FORBIDDEN',
  'ERR_OWNER',
  'ERR_TOKEN',
  'ERR_TAKEN',
  'ERR_CONFLICT',
  'ERR_REQUEST',
  'ERR_NOT_FOUND',
]);
