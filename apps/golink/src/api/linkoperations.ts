// Operations on links: list, search, read, make, change, delete, their history.
import { type Caller, editorNames } from '../access.ts';
import { GolinkError } from '../errors.ts';
import { pathEscape } from '../escape.ts';
import type { Edit } from '../linkeditor.ts';
import { linkId } from '../links.ts';
import { changeOf, changesOf } from '../store/history.ts';
import {
  type CountedLink,
  countedLink,
  countLinks,
  deletedLinks,
  type ListQuery,
  listLinks,
} from '../store/listing.ts';
import { searchLinks, suggestLinks } from '../store/search.ts';
import type { Store } from '../store/store.ts';
import {
  CHANGE,
  changeBody,
  DELETED,
  deletedBody,
  LINK,
  LINK_EDIT,
  linkBody,
  NEW_LINK,
  pageOf,
  REWIND,
} from './model.ts';
import type { ApiRequest, ApiResponse, Operation } from './operation.ts';
import type { ObjectSchema, Schema } from './schema.ts';

const LIMIT: Schema = { type: 'integer', minimum: 1, maximum: 1000, description: 'At most; 100.' };
const AFTER: Schema = { type: 'string', description: '`next` of the page before.' };
const RESTORE: ObjectSchema = {
  type: 'object',
  properties: { seq: { type: 'integer', description: 'Number of a change of the link.' } },
  required: ['seq'],
};
const MOMENT: ObjectSchema = {
  type: 'object',
  properties: {
    at: { type: 'string', format: 'date-time', description: 'The moment to go back to.' },
    dryRun: { type: 'boolean', description: 'Only say what would be done.' },
  },
  required: ['at'],
};

const limitOf = (query: ApiRequest['query'], otherwise = 100): number =>
  (query['limit'] as number | undefined) ?? otherwise;

function mineOf(caller: Caller): NonNullable<ListQuery['mine']> {
  return { owner: caller.login, editors: editorNames(caller) };
}

async function find(store: Store, short: string): Promise<CountedLink> {
  const counted = await countedLink(store, linkId(short));
  if (counted === undefined) throw new GolinkError('ERR_NOT_FOUND', `There is no link ${short}.`);
  return counted;
}

async function answer(store: Store, short: string, status = 200): Promise<ApiResponse> {
  const counted = await find(store, short);
  return { status, body: linkBody(counted), version: counted.link.version };
}

export const LINK_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'listLinks', method: 'get', path: '/links', scope: 'read' },
    summary: 'Lists links, a page at a time, or searches them with `q`.',
    query: {
      q: { type: 'string', maxLength: 200, description: 'Words; owner:, tag: before one.' },
      order: { type: 'string', enum: ['short', 'clicks', 'edited'] },
      owner: { type: 'string', description: 'Without case.' },
      mine: { type: 'boolean', description: 'Links the caller owns, or edits by login or group.' },
      tag: { type: 'string' },
      unusedSince: { type: 'string', format: 'date-time', description: 'Not followed since.' },
      after: AFTER,
      limit: LIMIT,
    },
    ...{ status: 200, answer: pageOf(LINK), errors: [400] },
    async run({ store }, { query, caller }) {
      if (query['q'] !== undefined) {
        const other = Object.keys(query).find((name) => name !== 'q' && name !== 'limit');
        if (other !== undefined)
          throw new GolinkError(
            'ERR_REQUEST',
            `${other} does not go with q; owner: and tag: may stand in it.`,
          );
        const found = await searchLinks(store, query['q'] as string, limitOf(query));
        return { status: 200, body: { items: found.map(linkBody) } };
      }
      const { order, owner, tag, after } = query as Partial<ListQuery>;
      const since = query['unusedSince'] as string | undefined;
      const filter: Omit<ListQuery, 'limit'> = {
        ...(order !== undefined && { order }),
        ...(owner !== undefined && { owner }),
        ...(tag !== undefined && { tag }),
        ...(query['mine'] === true && { mine: mineOf(await caller()) }),
        ...(since !== undefined && { unusedSince: Math.floor(Date.parse(since) / 1000) }),
      };
      const [page, total] = await Promise.all([
        listLinks(store, {
          ...filter,
          limit: limitOf(query),
          ...(after !== undefined && { after }),
        }),
        countLinks(store, filter),
      ]);
      const { links, next } = page;
      return {
        status: 200,
        body: { items: links.map(linkBody), total, ...(next !== undefined && { next }) },
      };
    },
  },
  {
    ...{ id: 'createLink', method: 'post', path: '/links', scope: 'write' },
    summary: 'Makes a link; the caller owns it unless `owner` says otherwise.',
    ...{ body: NEW_LINK, status: 201, answer: LINK, versioned: true, errors: [400, 405, 409] },
    async run({ store, editor }, { body, caller }) {
      const edit = body as unknown as Edit & { short: string; long: string };
      const link = await editor.create(edit, await caller());
      const response = await answer(store, link.short, 201);
      return { ...response, location: `/links/${pathEscape(link.short)}` };
    },
  },
  {
    ...{ id: 'getLink', method: 'get', path: '/links/{short}', scope: 'read' },
    summary: 'One link, by any of its names.',
    ...{ status: 200, answer: LINK, versioned: true, errors: [404] },
    run: ({ store }, { path }) => answer(store, path['short']!),
  },
  {
    ...{ id: 'updateLink', method: 'patch', path: '/links/{short}', scope: 'write' },
    summary: 'Changes what the body says and leaves the rest; another `short` renames the link.',
    ...{ body: LINK_EDIT, status: 200, answer: LINK, versioned: true },
    errors: [400, 404, 405, 409, 412],
    async run({ store, editor }, { path, body, ifVersion, caller }) {
      const options = ifVersion === undefined ? {} : { ifVersion };
      const link = await editor.update(path['short']!, body as Edit, await caller(), options);
      return answer(store, link.short);
    },
  },
  {
    ...{ id: 'deleteLink', method: 'delete', path: '/links/{short}', scope: 'write' },
    summary: 'Deletes a link; it can be restored for 30 days.',
    ...{ status: 204, versioned: true, errors: [404, 405, 412] },
    async run({ editor }, { path, ifVersion, caller }) {
      const options = ifVersion === undefined ? {} : { ifVersion };
      await editor.remove(path['short']!, await caller(), options);
      return { status: 204 };
    },
  },
  {
    ...{ id: 'linkHistory', method: 'get', path: '/links/{short}/history', scope: 'read' },
    summary: 'Changes of a link, a deleted one included, newest first.',
    query: {
      before: { type: 'integer', description: 'Only changes before this number.' },
      limit: LIMIT,
    },
    ...{ status: 200, answer: pageOf(CHANGE), errors: [400, 404] },
    async run({ store }, { path, query }) {
      const short = path['short']!;
      const id = (await store.find(linkId(short)))?.id ?? linkId(short);
      const before = query['before'] as number | undefined;
      const changes = await changesOf(store, {
        ...{ id, limit: limitOf(query) },
        ...(before !== undefined && { beforeSeq: before }),
      });
      if (changes.length === 0 && before === undefined)
        throw new GolinkError('ERR_NOT_FOUND', `There never was a link ${short}.`);
      return { status: 200, body: { items: changes.map(changeBody) } };
    },
  },
  {
    ...{ id: 'restoreLink', method: 'post', path: '/links/{short}/restore', scope: 'write' },
    summary: 'Makes a link what a change left it as; of a deletion, what it deleted.',
    ...{
      body: RESTORE,
      status: 200,
      answer: LINK,
      versioned: true,
      errors: [400, 404, 405, 409, 412],
    },
    async run({ store, editor }, { path, body, ifVersion, caller }) {
      editor.refuseReadOnly();
      const [seq, short] = [body['seq'] as number, path['short']!];
      const change = await changeOf(store, seq);
      const ids = [linkId(short), (await store.find(linkId(short)))?.id];
      if (change === undefined || !ids.includes(change.linkId))
        throw new GolinkError('ERR_NOT_FOUND', `Change ${seq} is none of ${short}.`);
      const options = ifVersion === undefined ? {} : { ifVersion };
      const link = await editor.restore(seq, await caller(), options);
      return answer(store, link.short);
    },
  },
  {
    ...{ id: 'listDeleted', method: 'get', path: '/deleted', scope: 'read' },
    summary: 'Links deleted in the last 30 days, latest first.',
    ...{ query: { limit: LIMIT }, status: 200, answer: pageOf(DELETED), errors: [400] },
    async run({ store }, { query }) {
      const deleted = await deletedLinks(store, limitOf(query));
      return { status: 200, body: { items: deleted.map(deletedBody) } };
    },
  },
  {
    ...{ id: 'listChanges', method: 'get', path: '/changes', scope: 'read' },
    summary: 'Changes of all links, newest first.',
    query: {
      before: { type: 'integer', description: 'Only changes before this number.' },
      limit: LIMIT,
    },
    ...{ status: 200, answer: pageOf(CHANGE), errors: [400] },
    async run({ store }, { query }) {
      const before = query['before'] as number | undefined;
      const changes = await changesOf(store, {
        limit: limitOf(query),
        ...(before !== undefined && { beforeSeq: before }),
      });
      return { status: 200, body: { items: changes.map(changeBody) } };
    },
  },
  {
    ...{ id: 'restoreAll', method: 'post', path: '/restore', scope: 'write' },
    summary: 'Makes every link what it was at a moment, all of it or nothing. Admins only.',
    ...{ body: MOMENT, status: 200, answer: REWIND, errors: [400, 405, 409] },
    async run({ editor }, { body, caller }) {
      const at = Date.parse(body['at'] as string);
      const dryRun = body['dryRun'] === true;
      return { status: 200, body: await editor.restoreAll(at, await caller(), { dryRun }) };
    },
  },
  {
    ...{ id: 'suggestLinks', method: 'get', path: '/suggest', scope: 'read' },
    summary: 'Links whose names begin with `q`, most used first.',
    query: { q: { type: 'string', maxLength: 200 }, limit: LIMIT },
    ...{ status: 200, answer: pageOf(LINK), errors: [400] },
    async run({ store }, { query }) {
      const links = await suggestLinks(
        store,
        (query['q'] as string | undefined) ?? '',
        limitOf(query, 10),
      );
      return { status: 200, body: { items: links.map(linkBody) } };
    },
  },
];
