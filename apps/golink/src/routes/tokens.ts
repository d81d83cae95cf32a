// API tokens of scripts: made, shown once, revoked.
import { readForm } from '@cove/web';
import type { Request, Response } from 'express';
import type { Caller } from '../access.ts';
import { GolinkError } from '../errors.ts';
import { keepable } from '../links.ts';
import { type IssuedToken, tokensPage } from '../pages/tokens.ts';
import { DAY_S } from '../store/clicks.ts';
import { issueToken, listTokens, revokeToken, type TokenScope } from '../store/tokens.ts';
import type { Desk, Mount } from './desk.ts';

/** What a form token on this page is bound to; no link can have this name. */
const TOKENS = '.tokens';
const MAX_NAME = 100;
const MAX_DAYS = 3_650;

export const mountTokens: Mount = (app, desk) => {
  app.get('/.tokens', async (req, res) => show(desk, res, await person(desk, req), {}));
  app.post('/.tokens', (req, res) => create(desk, req, res));
  app.post('/.tokens/:id/revoke', (req, res) => revoke(desk, req, res));
};

/** Tokens act for people. */
async function person(desk: Desk, req: Request): Promise<Caller> {
  const caller = await desk.caller(req);
  if (caller.login === '' || caller.login === 'tagged-devices')
    throw new GolinkError('ERR_FORBIDDEN', 'only a person can have API tokens');
  return caller;
}

async function show(
  desk: Desk,
  res: Response,
  caller: Caller,
  more: { readonly issued?: IssuedToken; readonly problem?: string; readonly typed?: string },
): Promise<void> {
  const tokens = await listTokens(desk.store, caller.admin ? undefined : caller.login);
  desk.send(
    res,
    tokensPage(desk.sceneOf(res, caller.who), {
      ...{ tokens, login: caller.login, now: desk.store.now() },
      token: desk.options.tokens.issue(caller.login, TOKENS),
      ...more,
    }),
  );
}

async function create(desk: Desk, req: Request, res: Response): Promise<void> {
  const form = await readForm(req);
  const caller = await person(desk, req);
  desk.editor.refuseReadOnly();
  desk.verify(form, caller, TOKENS);
  const name = keepable(form.get('name') ?? '').trim();
  const scopes = (['read', 'write'] as const).filter((scope: TokenScope) => form.has(scope));
  const days = Number(form.get('days') ?? '');
  const problem =
    name === ''
      ? 'A token needs a name, so that you know later what it was for.'
      : name.length > MAX_NAME
        ? `A name may have at most ${MAX_NAME} characters.`
        : scopes.length === 0
          ? 'Choose what the token may do.'
          : !Number.isInteger(days) || days < 0 || days > MAX_DAYS
            ? 'Choose how long it works.'
            : undefined;
  if (problem !== undefined) {
    res.status(400);
    await show(desk, res, caller, { problem, typed: name });
    return;
  }
  const expires = days === 0 ? undefined : Math.floor(desk.store.now() / 1000) + days * DAY_S;
  const issued = await issueToken(desk.store, { name, scopes, expires, owner: caller.login });
  await show(desk, res, caller, { issued: { name, text: issued.text } });
}

async function revoke(desk: Desk, req: Request, res: Response): Promise<void> {
  const form = await readForm(req);
  const caller = await person(desk, req);
  desk.verify(form, caller, TOKENS);
  const id = keepable(String(req.params['id']));
  if (!(await revokeToken(desk.store, id, caller.admin ? undefined : caller.login)))
    throw new GolinkError('ERR_NOT_FOUND', `You have no token ${id}.`);
  res.redirect(303, '/.tokens');
}
