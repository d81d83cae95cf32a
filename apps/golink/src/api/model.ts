// What the API says of links, changes, tokens and counts: schemas, and the objects that match them.
import { formatTime, type Link } from '../links.ts';
import type { Change } from '../store/history.ts';
import type { CountedLink } from '../store/listing.ts';
import type { Token } from '../store/tokens.ts';
import type { ObjectSchema, Schema } from './schema.ts';

const text = (description: string, maxLength?: number): Schema => ({
  type: 'string',
  description,
  ...(maxLength !== undefined && { maxLength }),
});
const time = (description: string): Schema => ({
  type: 'string',
  format: 'date-time',
  description,
});
const words = (description: string): Schema => ({
  type: 'array',
  items: { type: 'string', maxLength: 200 },
  maxItems: 50,
  description,
});
const count = (description: string): Schema => ({ type: 'integer', minimum: 0, description });
export const listOf = (items: Schema): Schema => ({ type: 'array', items });

/** What a change may say. */
const EDITABLE: Readonly<Record<string, Schema>> = {
  short: text('Name: letters, digits, underscore; then also dash and period.', 200),
  long: text('Destination: an address, or a template when it contains {{.', 16_384),
  owner: text('Login of the owner.', 200),
  description: text('What it is for.', 1_000),
  tags: words('Kept in lower case.'),
  editors: words('Who may edit besides the owner: logins, and groups as group:name.'),
  aliases: words('Other names that lead here.'),
  openEdit: { type: 'boolean', description: 'Everyone may edit.' },
  append: {
    type: 'string',
    enum: ['end', 'path'],
    description:
      'Where what follows the name goes when the destination has a query: behind everything, or behind its path.',
  },
};

export const LINK: ObjectSchema = {
  type: 'object',
  properties: {
    ...EDITABLE,
    created: time('When it was made.'),
    lastEdit: time('When it was changed last.'),
    version: { type: 'integer', minimum: 1, description: 'Grows with each change; the ETag.' },
    clicks: count('Visits of all time.'),
  },
  required: [...Object.keys(EDITABLE), 'created', 'lastEdit', 'version', 'clicks'],
};

export const NEW_LINK: ObjectSchema = {
  type: 'object',
  properties: EDITABLE,
  required: ['short', 'long'],
};

export const LINK_EDIT: ObjectSchema = {
  type: 'object',
  properties: {
    ...EDITABLE,
    keepOldName: { type: 'boolean', description: 'With another name: the old one leads here too.' },
  },
};

export function linkBody({ link, clicks }: CountedLink): Readonly<Record<string, unknown>> {
  return { ...describe(link), version: link.version, clicks };
}

function describe(link: Link): Readonly<Record<string, unknown>> {
  const { short, long, owner, description, tags, editors, aliases, openEdit, append } = link;
  return {
    ...{ short, long, owner, description, tags, editors, aliases, openEdit, append },
    created: formatTime(link.created),
    lastEdit: formatTime(link.lastEdit),
  };
}

const { version: _version, clicks: _clicks, ...STATE } = LINK.properties;

export const LINK_STATE: ObjectSchema = {
  type: 'object',
  properties: STATE,
  required: Object.keys(STATE),
};

export const CHANGE: ObjectSchema = {
  type: 'object',
  properties: {
    seq: { type: 'integer', description: 'Number of the change; what restoring asks for.' },
    at: time('When.'),
    kind: {
      type: 'string',
      enum: ['create', 'update', 'rename', 'delete', 'import', 'restore'],
    },
    actor: text('Login of who did it; empty for the command line.'),
    node: text('Machine it was done from.'),
    before: LINK_STATE,
    after: LINK_STATE,
  },
  required: ['seq', 'at', 'kind', 'actor', 'node'],
};

export function changeBody(change: Change): Readonly<Record<string, unknown>> {
  const { seq, at, kind, actor, actorNode, before, after } = change;
  return {
    ...{ seq, at: new Date(at).toISOString(), kind, actor, node: actorNode },
    ...(before !== undefined && { before: describe(before) }),
    ...(after !== undefined && { after: describe(after) }),
  };
}

export const DELETED: ObjectSchema = {
  type: 'object',
  properties: { link: LINK_STATE, at: time('When it was deleted.'), by: text('Who deleted it.') },
  required: ['link', 'at', 'by'],
};

export function deletedBody(deleted: { link: Link; at: number; by: string }): unknown {
  return { link: describe(deleted.link), at: formatTime(deleted.at), by: deleted.by };
}

export const COUNT: ObjectSchema = {
  type: 'object',
  properties: { at: time('Begin of the period.'), clicks: count('Visits in it.') },
  required: ['at', 'clicks'],
};

export const MISSING: ObjectSchema = {
  type: 'object',
  properties: {
    name: text('A name nobody has made.'),
    visits: count('How often it was followed.'),
  },
  required: ['name', 'visits'],
};

const SCOPES: Schema = {
  type: 'array',
  items: { type: 'string', enum: ['read', 'write'] },
  maxItems: 2,
};

export const TOKEN: ObjectSchema = {
  type: 'object',
  properties: {
    id: text('What revoking asks for.'),
    name: text('What its owner calls it.', 100),
    owner: text('Whom it acts for.'),
    scopes: SCOPES,
    created: time('When it was made.'),
    expires: time('When it stops working; absent: never.'),
    lastUsed: time('About when it was used last.'),
  },
  required: ['id', 'name', 'owner', 'scopes', 'created'],
};

export const ISSUED: ObjectSchema = {
  type: 'object',
  properties: { token: TOKEN, text: text('The token itself. It is told only here.') },
  required: ['token', 'text'],
};

export const NEW_TOKEN: ObjectSchema = {
  type: 'object',
  properties: {
    name: text('What to call it.', 100),
    scopes: SCOPES,
    expires: time('When it stops working; absent: never.'),
  },
  required: ['name', 'scopes'],
};

export function tokenBody(token: Token): Readonly<Record<string, unknown>> {
  const { id, name, owner, scopes, created, expires, lastUsed } = token;
  return {
    ...{ id, name, owner, scopes, created: formatTime(created) },
    ...(expires !== undefined && { expires: formatTime(expires) }),
    ...(lastUsed !== undefined && { lastUsed: formatTime(lastUsed) }),
  };
}

export const CALLER: ObjectSchema = {
  type: 'object',
  properties: {
    login: text('Login name; empty when the network does not know one.'),
    admin: { type: 'boolean' },
    groups: { type: 'array', items: { type: 'string' } },
    token: text('The token used, if one was.'),
  },
  required: ['login', 'admin', 'groups'],
};

export const REWIND: ObjectSchema = {
  type: 'object',
  properties: { created: count('Links that come back.'), changed: count(''), deleted: count('') },
  required: ['created', 'changed', 'deleted'],
};

export const PROBLEM: ObjectSchema = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        code: text('Stable; for programs.'),
        message: text('A sentence; for people.'),
      },
      required: ['code', 'message'],
    },
  },
  required: ['error'],
};

/** A part of a list, and where it goes on. */
export const pageOf = (items: Schema): ObjectSchema => ({
  type: 'object',
  properties: {
    items: listOf(items),
    next: text('For `after`, to get what follows; absent at the end.'),
    total: count('Of the whole list.'),
  },
  required: ['items'],
});
