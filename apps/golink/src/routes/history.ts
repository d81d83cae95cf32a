// What was changed and deleted, and the ways back: one change, one deleted link, the whole service.
import { readForm } from '@cove/web';
import type { Request, Response } from 'express';
import { NEW_LINK } from '../editing.ts';
import { GolinkError } from '../errors.ts';
import { pathEscape } from '../escape.ts';
import { linkId } from '../links.ts';
import { deletedLinksPage, historyPage } from '../pages/history.ts';
import { rewindPage } from '../pages/rewind.ts';
import { changeOf, changesOf, stateOf } from '../store/history.ts';
import { deletedLinks } from '../store/listing.ts';
import { type Desk, type Mount, NOT_FOUND, nameOf, queryOf } from './desk.ts';

/** What a form token for going back is bound to; no link can have these names. */
export const RESTORE = '.restore';
const REWIND = '.rewind';
const PAGE_CHANGES = 50;
const MAX_DELETED = 200;

export const mountHistory: Mount = (app, desk) => {
  app.get('/.history', (req, res) => history(desk, req, res));
  app.get('/.history/{*name}', (req, res) => history(desk, req, res, nameOf(req) || undefined));
  app.get('/.deleted', (req, res) => deleted(desk, req, res));
  app.post('/.restore/:seq', (req, res) => restore(desk, req, res));
  app.get('/.rewind', (req, res) => rewind(desk, req, res));
  app.post('/.rewind', (req, res) => rewind(desk, req, res));
};

async function history(desk: Desk, req: Request, res: Response, name?: string): Promise<void> {
  const { store, access, tokens } = desk.options;
  const caller = await desk.caller(req);
  const asked = Number(queryOf(req, 'before'));
  const beforeSeq = Number.isSafeInteger(asked) && asked > 0 ? asked : undefined;
  // By any of its names; the history of a deleted link is found by its last.
  const found = name === undefined ? undefined : await store.find(linkId(name));
  const id = name === undefined ? undefined : (found?.id ?? linkId(name));
  const changes = await changesOf(store, {
    limit: PAGE_CHANGES + 1,
    ...(id !== undefined && { id }),
    ...(beforeSeq !== undefined && { beforeSeq }),
  });
  if (name !== undefined && changes.length === 0 && found === undefined)
    throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
  const shown = changes.slice(0, PAGE_CHANGES);
  const path = name === undefined ? '/.history' : `/.history/${pathEscape(name)}`;
  const link = found ?? (shown[0] && stateOf(shown[0]));
  const mayRestore = name !== undefined && link && (await access.mayEdit(link, caller));
  desk.send(
    res,
    historyPage(desk.sceneOf(res, caller.who), {
      changes: shown,
      ...(name !== undefined && { short: link?.short ?? name, lives: found !== undefined }),
      ...(beforeSeq === undefined && shown[0] && { latest: shown[0].seq }),
      ...(mayRestore && { restoreToken: tokens.issue(caller.login, RESTORE) }),
      ...(changes.length > PAGE_CHANGES && { next: `${path}?before=${shown.at(-1)!.seq}` }),
      admin: caller.admin,
    }),
  );
}

async function deleted(desk: Desk, req: Request, res: Response): Promise<void> {
  const { store, access, tokens } = desk.options;
  const caller = await desk.caller(req);
  const links = await deletedLinks(store, MAX_DELETED);
  const rows = await Promise.all(
    links.map(async ({ link, at, by }) => {
      const mine = await access.mayEdit(link, caller);
      const [last] = mine ? await changesOf(store, { id: link.id, limit: 1 }) : [];
      return { link, at, by, seq: last?.seq };
    }),
  );
  const token = tokens.issue(caller.login, RESTORE);
  desk.send(res, deletedLinksPage(desk.sceneOf(res, caller.who), rows, token, MAX_DELETED));
}

/** Goes back to what one change left; brings back what it deleted. */
async function restore(desk: Desk, req: Request, res: Response): Promise<void> {
  const form = await readForm(req);
  const caller = await desk.caller(req);
  desk.editor.refuseReadOnly();
  desk.verify(form, caller, RESTORE, NEW_LINK);
  const seq = Number(req.params['seq']);
  if (!Number.isSafeInteger(seq) || (await changeOf(desk.store, seq)) === undefined)
    throw new GolinkError('ERR_NOT_FOUND', NOT_FOUND);
  const link = await desk.editor.restore(seq, caller);
  res.redirect(303, `/.detail/${pathEscape(link.short)}?restored=1`);
}

/** First what would be done, then, when confirmed, done. */
async function rewind(desk: Desk, req: Request, res: Response): Promise<void> {
  const form = req.method === 'POST' ? await readForm(req) : undefined;
  const caller = await desk.caller(req);
  if (!caller.admin)
    throw new GolinkError('ERR_FORBIDDEN', 'only an admin can restore the whole service');
  if (form !== undefined) desk.verify(form, caller, REWIND);
  const text = form?.get('at') ?? queryOf(req, 'at');
  const at = readMoment(text);
  const wrong =
    text !== '' && at === undefined
      ? 'Give a moment like 2026-11-21T14:05, in UTC.'
      : at !== undefined && at > desk.store.now()
        ? 'That moment has not come yet.'
        : undefined;
  const ask = at === undefined || wrong !== undefined ? undefined : at;
  const done = form !== undefined && ask !== undefined;
  const result =
    ask === undefined
      ? undefined
      : await desk.editor.restoreAll(ask, caller, done ? {} : { dryRun: true });
  if (wrong !== undefined) res.status(400);
  desk.send(
    res,
    rewindPage(desk.sceneOf(res, caller.who), {
      token: desk.options.tokens.issue(caller.login, REWIND),
      now: desk.store.now(),
      ...{ at: ask, typed: text, result, done, problem: wrong },
    }),
  );
}

/** As a `datetime-local` field gives it, read as UTC, in milliseconds since the epoch. */
function readMoment(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?Z?$/.exec(text);
  const at = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}Z`);
  return Number.isFinite(at) ? at : undefined;
}
