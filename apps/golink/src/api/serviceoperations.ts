// Operations on the service: counts, who the caller is, tokens.
import type { Caller } from '../access.ts';
import { GolinkError } from '../errors.ts';
import { formatTime, linkId } from '../links.ts';
import { DAY_S } from '../store/clicks.ts';
import { issueToken, listTokens, revokeToken, type TokenScope } from '../store/tokens.ts';
import { CALLER, COUNT, ISSUED, MISSING, NEW_TOKEN, pageOf, TOKEN, tokenBody } from './model.ts';
import type { ApiRequest, ApiResponse, ApiService, Operation } from './operation.ts';
import type { Schema } from './schema.ts';

const DAYS: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: 3_650,
  description: 'How far back; 30.',
};
const SERIES: Readonly<Record<string, Schema>> = {
  days: DAYS,
  step: { type: 'string', enum: ['day', 'hour'], description: 'Length of a period; a day.' },
};

async function series(
  { store }: ApiService,
  { query }: ApiRequest,
  id: string | undefined,
): Promise<ApiResponse> {
  await store.flush();
  const step = query['step'] === 'hour' ? 3_600 : DAY_S;
  const from = since(store.now(), query);
  const counts = await store.read(() => store.clicks.series(id, from, step));
  const items = counts.map(({ at, clicks }) => ({ at: formatTime(at), clicks }));
  return { status: 200, body: { items } };
}

/** Begin of the first of so many days, today included, in seconds. */
function since(now: number, query: ApiRequest['query']): number {
  const today = Math.floor(now / 1000 / DAY_S) * DAY_S;
  return today - (((query['days'] as number | undefined) ?? 30) - 1) * DAY_S;
}

/** Tokens are made by people, not by tokens, so that a leaked one cannot outlive its revocation. */
async function person(request: ApiRequest): Promise<Caller> {
  const caller = await request.caller();
  if (request.token !== undefined || caller.login === '' || caller.login === 'tagged-devices')
    throw new GolinkError('ERR_FORBIDDEN', 'only a person, without a token, can do this');
  return caller;
}

export const SERVICE_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'linkStats', method: 'get', path: '/links/{short}/stats', scope: 'read' },
    summary: 'Visits of a link by day or hour; periods without are left out.',
    ...{ query: SERIES, status: 200, answer: pageOf(COUNT), errors: [400, 404] },
    async run(service, request) {
      const short = request.path['short']!;
      const link = await service.store.find(linkId(short));
      if (link === undefined) throw new GolinkError('ERR_NOT_FOUND', `There is no link ${short}.`);
      return series(service, request, link.id);
    },
  },
  {
    ...{ id: 'stats', method: 'get', path: '/stats', scope: 'read' },
    summary: 'Visits of all links by day or hour; periods without are left out.',
    ...{ query: SERIES, status: 200, answer: pageOf(COUNT), errors: [400] },
    run: (service, request) => series(service, request, undefined),
  },
  {
    ...{ id: 'missing', method: 'get', path: '/missing', scope: 'read' },
    summary: 'Names that people followed and nobody has made, most wanted first.',
    query: { days: DAYS, limit: { type: 'integer', minimum: 1, maximum: 1000 } },
    ...{ status: 200, answer: pageOf(MISSING), errors: [400] },
    async run({ store }, { query }) {
      await store.flush();
      const limit = (query['limit'] as number | undefined) ?? 100;
      const items = await store.read(() => store.clicks.missing(since(store.now(), query), limit));
      return { status: 200, body: { items } };
    },
  },
  {
    ...{ id: 'whoAmI', method: 'get', path: '/me', scope: 'read' },
    summary: 'Who the caller is here.',
    ...{ status: 200, answer: CALLER, errors: [] },
    async run(_service, request) {
      const { login, admin, groups } = await request.caller();
      const token = request.token === undefined ? {} : { token: request.token };
      return { status: 200, body: { login, admin, groups, ...token } };
    },
  },
  {
    ...{ id: 'listTokens', method: 'get', path: '/tokens', scope: 'read' },
    summary: "The caller's tokens; an admin's are everyone's.",
    ...{ status: 200, answer: pageOf(TOKEN), errors: [] },
    async run({ store }, request) {
      const caller = await person(request);
      const tokens = await listTokens(store, caller.admin ? undefined : caller.login);
      return { status: 200, body: { items: tokens.map(tokenBody) } };
    },
  },
  {
    ...{ id: 'issueToken', method: 'post', path: '/tokens', scope: 'write' },
    summary: 'Makes a token that acts as the caller, without admin rights.',
    ...{ body: NEW_TOKEN, status: 201, answer: ISSUED, errors: [400, 405] },
    async run({ store, editor }, request) {
      const caller = await person(request);
      editor.refuseReadOnly();
      const name = (request.body['name'] as string).trim();
      const scopes = request.body['scopes'] as TokenScope[];
      const until = request.body['expires'] as string | undefined;
      const expires = until === undefined ? undefined : Math.floor(Date.parse(until) / 1000);
      if (name === '' || scopes.length === 0)
        throw new GolinkError('ERR_REQUEST', 'a token needs a name and at least one scope');
      if (expires !== undefined && expires * 1000 <= store.now())
        throw new GolinkError('ERR_REQUEST', 'that token would be expired already');
      const issued = await issueToken(store, { name, scopes, expires, owner: caller.login });
      return { status: 201, body: { token: tokenBody(issued.token), text: issued.text } };
    },
  },
  {
    ...{ id: 'revokeToken', method: 'delete', path: '/tokens/{id}', scope: 'write' },
    summary: 'Ends a token at once.',
    ...{ status: 204, errors: [404] },
    async run({ store }, request) {
      const caller = await person(request);
      const id = request.path['id']!;
      if (!(await revokeToken(store, id, caller.admin ? undefined : caller.login)))
        throw new GolinkError('ERR_NOT_FOUND', `You have no token ${id}.`);
      return { status: 204 };
    },
  },
];
