// Changes of links: who, when, and what was before and after.
import { type Html, type HtmlValue, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';
import type { Change } from '../store/history.ts';
import { linkName, ownerName, type Scene } from './frame.ts';

export interface ChangeOptions {
  /** Each change says which link it was. */
  readonly named?: boolean;
  /** Form token for going back to what a change left; present when the caller may. */
  readonly restoreToken?: string;
  /** Number of the change that made the link what it is: there is nothing to go back to. */
  readonly latest?: number;
}

export function changeList(
  scene: Scene,
  changes: readonly Change[],
  options: ChangeOptions = {},
): Html {
  return html`<ol class="log">${changes.map((change) => entry(scene, change, options))}</ol>`;
}

const WORDS: Readonly<Record<Change['kind'], string>> = {
  create: 'created',
  update: 'changed',
  delete: 'deleted',
  import: 'imported',
  rename: 'renamed',
  restore: 'restored',
};

function entry(scene: Scene, change: Change, options: ChangeOptions): Html {
  const { named = false, restoreToken, latest } = options;
  const { before, after, actor, actorNode, kind, seq } = change;
  const who = actor === '' ? 'Command line' : actor;
  const from = actor === 'tagged-devices' && actorNode !== '' ? ` (${actorNode})` : '';
  const short = (after ?? before)?.short ?? '';
  const what = named
    ? linkName(scene, short, `/.history/${pathEscape(short)}`)
    : html`${kind === 'create' || kind === 'import' || kind === 'restore' ? 'this link' : 'it'}`;
  const verb = kind === 'restore' && after === undefined ? 'deleted, by going back,' : WORDS[kind];
  return html`<li><p><b>${who}${from}</b> ${verb} ${what} <span class="muted nowrap">${moment(change.at)}</span></p>
${differences(before, after)}
${restoreToken !== undefined && seq !== latest && html`<form method="post" action="/.restore/${String(seq)}"><input type="hidden" name="xsrf" value="${restoreToken}"><button class="btn small quiet" type="submit">${after === undefined ? 'Bring it back' : 'Go back to this'}<span class="vh"> (change ${seq})</span></button></form>`}</li>`;
}

/** What differs; of a link that is new or gone, where it led. */
export function differences(before: Link | undefined, after: Link | undefined): HtmlValue {
  if (before === undefined || after === undefined) {
    const link = after ?? before;
    if (link === undefined) return undefined;
    const mark = after === undefined ? html`<del>${link.long}</del>` : html`${link.long}`;
    return html`<p class="diff mono">${mark}</p>`;
  }
  const rows: HtmlValue[] = [];
  const row = (name: string, content: HtmlValue): void => {
    rows.push(html`<div><dt>${name}</dt><dd>${content}</dd></div>`);
  };
  if (before.short !== after.short) row('Name', replaced(before.short, after.short));
  if (before.long !== after.long)
    row('Destination', html`<span class="mono">${textDiff(before.long, after.long)}</span>`);
  if (before.owner !== after.owner)
    row('Owner', html`<del>${ownerName(before.owner)}</del> <ins>${ownerName(after.owner)}</ins>`);
  if (before.description !== after.description)
    row('Description', textDiff(before.description, after.description));
  const lists = [
    ['Tags', before.tags, after.tags],
    ['Editors', before.editors, after.editors],
    ['Other names', before.aliases, after.aliases],
  ] as const;
  for (const [name, old, now] of lists)
    if (old.join(' ') !== now.join(' ')) row(name, listDiff(old, now));
  if (before.openEdit !== after.openEdit)
    row('Who may edit', after.openEdit ? 'anyone' : 'owner and editors');
  if (before.append !== after.append)
    row(
      'What follows the name',
      after.append === 'path' ? 'goes behind the path' : 'goes to the end',
    );
  if (rows.length === 0) return undefined;
  return html`<dl class="diff">${rows}</dl>`;
}

function replaced(before: string, after: string): Html {
  return html`<del class="mono">${before}</del> <ins class="mono">${after}</ins>`;
}

function listDiff(before: readonly string[], after: readonly string[]): HtmlValue {
  const gone = before.filter((word) => !after.includes(word));
  const fresh = after.filter((word) => !before.includes(word));
  return [
    ...gone.map((word) => html`<del>${word}</del> `),
    ...fresh.map((word) => html`<ins>${word}</ins> `),
  ];
}

/** What begins and ends both texts alike stands once; words are kept whole. */
export function textDiff(before: string, after: string): Html {
  let start = 0;
  const shorter = Math.min(before.length, after.length);
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const isWord = (letter: string | undefined): boolean =>
    letter !== undefined && /[\p{L}\p{N}\p{M}\uD800-\uDFFF]/u.test(letter);
  while (start > 0 && isWord(before[start - 1])) start--;
  while (end > 0 && isWord(before.at(-end))) end--;
  const middle = (text: string): string => text.slice(start, text.length - end);
  const [old, fresh] = [middle(before), middle(after)];
  return html`${before.slice(0, start)}${old !== '' && html`<del>${old}</del>`}${fresh !== '' && html`<ins>${fresh}</ins>`}${end > 0 && before.slice(-end)}`;
}

/** `Nov 21, 2026, 14:05 UTC`. `at`: milliseconds since the epoch. */
export function moment(at: number): Html {
  const exact = new Date(at).toISOString();
  return html`<time datetime="${exact}">${MOMENT.format(at)} UTC</time>`;
}

const MOMENT: Intl.DateTimeFormat = new Intl.DateTimeFormat('en-US', {
  dateStyle: 'medium',
  timeStyle: 'short',
  hourCycle: 'h23',
  timeZone: 'UTC',
});
