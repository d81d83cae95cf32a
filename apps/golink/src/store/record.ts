// A link as a row, and as the JSON that the history keeps: the keys of a snapshot, and those of ours that are set.
import { GolinkError } from '../errors.ts';
import { type Link, linkFields, linkId, parseTime, ZERO_TIME } from '../links.ts';
import type { LinkTable } from './schema.ts';

export type LinkRow = Pick<
  LinkTable,
  | 'id'
  | 'short'
  | 'long'
  | 'owner'
  | 'description'
  | 'tags'
  | 'editors'
  | 'aliases'
  | 'open_edit'
  | 'append'
  | 'created'
  | 'last_edit'
  | 'version'
>;

export const LINK_COLUMNS = [
  ...['id', 'short', 'long', 'owner', 'description', 'tags', 'editors', 'aliases'],
  ...['open_edit', 'append', 'created', 'last_edit', 'version'],
] as readonly (keyof LinkRow)[];

export function toRow(link: Link, version: number = link.version): LinkRow {
  return {
    id: link.id,
    short: link.short,
    long: link.long,
    owner: link.owner,
    description: link.description,
    tags: link.tags.join(' '),
    editors: link.editors.join(' '),
    aliases: link.aliases.join(' '),
    open_edit: link.openEdit ? 1 : 0,
    append: link.append,
    created: link.created,
    last_edit: link.lastEdit,
    version,
  };
}

export function fromRow(row: LinkRow): Link {
  const { id, short, long, owner, description, created, version } = row;
  return {
    ...{ id, short, long, owner, description, created, version },
    tags: words(row.tags),
    editors: words(row.editors),
    aliases: words(row.aliases),
    openEdit: row.open_edit !== 0,
    append: row.append === 'path' ? 'path' : 'end',
    lastEdit: row.last_edit,
  };
}

const NO_WORDS: readonly string[] = [];

function words(text: string): readonly string[] {
  return text === '' ? NO_WORDS : text.split(' ');
}

/** For the history. */
export function toRecord(link: Link): string {
  return JSON.stringify(linkFields(link));
}

/** Throws GolinkError ERR_DATABASE when the text is no record. */
export function fromRecord(text: string): Link {
  try {
    const fields = JSON.parse(text) as Record<string, unknown>;
    const string = (key: string): string => String(fields[key] ?? '');
    const list = (key: string): readonly string[] => {
      const value = fields[key];
      return Array.isArray(value) ? value.map(String) : NO_WORDS;
    };
    const short = string('Short');
    return {
      ...{ id: linkId(short), short, long: string('Long'), owner: string('Owner') },
      ...{ description: string('Description'), tags: list('Tags') },
      ...{ editors: list('Editors'), aliases: list('Aliases') },
      openEdit: fields['OpenEdit'] === true,
      append: fields['Append'] === 'path' ? 'path' : 'end',
      created: parseTime(string('Created')) ?? ZERO_TIME,
      lastEdit: parseTime(string('LastEdit')) ?? ZERO_TIME,
      version: 1,
    };
  } catch (cause) {
    throw new GolinkError('ERR_DATABASE', 'The history of this link cannot be read.', { cause });
  }
}
