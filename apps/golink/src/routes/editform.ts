// What the form that edits a link says.
import type { FormFields } from '@cove/web';
import type { Caller } from '../access.ts';
import type { Edit } from '../linkeditor.ts';
import type { Link } from '../links.ts';
import type { EditValues } from '../pages/editform.ts';

export function fieldsOf(link: Link): EditValues {
  const { short, long, owner, description, openEdit } = link;
  return {
    ...{ short, long, owner, description, openEdit },
    tags: link.tags.join(' '),
    editors: link.editors.join(' '),
    aliases: link.aliases.join(' '),
    appendToPath: link.append === 'path',
    keepOldName: true,
  };
}

export interface TypedEdit {
  readonly fields: EditValues;
  /** Of the link the form was made from; 0, which no link has, when the form does not say. */
  readonly version: number;
  /** What to change. */
  ask(link: Link, caller: Caller): Edit;
}

export function readEdit(form: FormFields): TypedEdit {
  const text = (name: string): string => form.get(name) ?? '';
  const isChecked = (name: string): boolean => form.has(name);
  const fields: EditValues = {
    short: text('short').trim(),
    long: text('long').trim(),
    owner: text('owner').trim(),
    // Forms send lines with CR LF.
    description: text('description').replaceAll('\r\n', '\n'),
    tags: text('tags'),
    editors: text('editors'),
    aliases: text('aliases'),
    openEdit: isChecked('openEdit'),
    appendToPath: isChecked('appendToPath'),
    keepOldName: isChecked('keepOldName'),
  };
  const { short, long, owner, description, openEdit, keepOldName } = fields;
  const version = /^\d{1,9}$/.test(text('version')) ? Number(text('version')) : 0;
  return {
    ...{ fields, version },
    ask: (link, caller) => ({
      ...{ short, long, description, openEdit, keepOldName },
      // An owner who left may stay; an empty field means oneself, as in golink.
      ...(owner !== link.owner && { owner: owner === '' ? caller.login : owner }),
      tags: words(fields.tags).map((tag) => tag.replace(/^#/, '')),
      editors: words(fields.editors),
      aliases: words(fields.aliases),
      append: fields.appendToPath ? 'path' : 'end',
    }),
  };
}

function words(text: string): readonly string[] {
  return text.split(/[\s,;]+/).filter((word) => word !== '');
}
