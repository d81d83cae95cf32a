// What golink's pages have in common: the frame, the form that creates a link, the table of links.

import type { WhoIs } from '@cove/tsnet';
import { type Assets, day, type Html, type HtmlValue, html, isSafeUrl, page, raw } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';

/** What every page needs to know. */
export interface Scene {
  readonly assets: Assets;
  /** Name people type before the slash. */
  readonly host: string;
  /** Name of the service in titles. */
  readonly title: string;
  readonly who: WhoIs | undefined;
  readonly readOnly: boolean;
  /** Who follows a link is recorded. */
  readonly countsVisitors: boolean;
}

export type Section = 'home' | 'mine' | 'all' | 'stats' | 'history' | 'help';

export function frame(
  scene: Scene,
  content: { readonly title: string; readonly main: Html; readonly current?: Section },
): string {
  const { assets, host, title, who } = scene;
  const item = (
    section: Section,
    label: string,
    href: string,
  ): {
    label: string;
    href: string;
    current: boolean;
  } => ({ label, href, current: content.current === section });
  return page(assets, {
    title: content.title,
    brand: `${host}/`,
    caller: who,
    nav: [
      item('home', 'Home', '/'),
      ...(who === undefined ? [] : [item('mine', 'My links', '/.mine')]),
      item('all', 'All links', '/.all'),
      item('stats', 'Statistics', '/.stats'),
      ...(who === undefined ? [] : [item('history', 'Changes', '/.history')]),
      item('help', 'Help', '/.help'),
    ],
    head: html`<link rel="search" type="application/opensearchdescription+xml" title="${title}" href="/.opensearch">`,
    main: content.main,
    footer: html`<span>${title} answers only inside this network.</span><a href="/.help">How links work</a><a href="/.tags">Tags</a>${who !== undefined && html`<a href="/.deleted">Deleted links</a><a href="/.tokens">API tokens</a>`}<a href="/.export">Export</a>`,
  });
}

/** What the form is filled with when it is shown again, or for a name that was not found. */
export interface Draft {
  readonly short?: string;
  readonly long?: string;
  /** Sentence about what was wrong. */
  readonly problem?: string;
}

export function composer(scene: Scene, token: string, draft: Draft = {}): Html {
  if (scene.readOnly)
    return html`<p class="notice warn">Links can be followed but not changed at the moment: ${scene.host} is in read-only mode.</p>`;
  const { short = '', long = '', problem } = draft;
  const focusLong = short !== '';
  return html`<form class="card stack" method="post" action="/">
${problem !== undefined && html`<p class="notice bad" role="alert" id="problem">${problem}</p>`}
<input type="hidden" name="xsrf" value="${token}">
<div class="composer">
<div class="field"><label for="short">Name</label>
<span class="affix"><span aria-hidden="true">${scene.host}/</span><input id="short" name="short" value="${short}" required pattern="[A-Za-z0-9_][A-Za-z0-9_.\\-]*" title="Letters, digits, underscore; then also dash and period" placeholder="roadmap" autocomplete="off" autocapitalize="none" spellcheck="false"${!focusLong && raw(' autofocus')}></span></div>
<span class="to" aria-hidden="true">leads to</span>
<div class="field"><label for="long">Destination</label>
<input class="input" id="long" name="long" value="${long}" required inputmode="url" placeholder="https://" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="long-hint"${focusLong && raw(' autofocus')}></div>
<button class="btn go-btn" type="submit">Create link</button>
</div>
<p class="hint" id="long-hint">Anything after the name is carried along: <span class="mono">${scene.host}/name/more</span> adds <span class="mono">/more</span>. To put it elsewhere, write <span class="mono">{{.Path}}</span> where it belongs. <a href="/.help#templates">Examples</a></p>
</form>`;
}

/** A link as people write it, leading to itself. */
export function linkName(scene: Scene, short: string, href = `/${pathEscape(short)}`): Html {
  return html`<a class="go" href="${href}"><i>${scene.host}/</i>${short}</a>`;
}

/** A destination, to be clicked only where it is an address a click may lead to. */
export function destination(long: string): Html {
  const plain = !long.includes('{{') && isSafeUrl(long) && long !== '';
  return plain ? html`<a href="${long}" rel="noreferrer">${long}</a>` : html`${long}`;
}

export interface Row {
  readonly link: Link;
  readonly clicks: number;
}

/** `columns`: which of owner and date are shown beside name and clicks. */
export function linkTable(
  scene: Scene,
  rows: readonly Row[],
  caption: string,
  columns: { readonly owner?: boolean; readonly date?: boolean } = {},
): Html {
  const most = rows.reduce((max, { clicks }) => Math.max(max, clicks), 1);
  const { owner = false, date = false } = columns;
  const row = ({ link, clicks }: Row): HtmlValue =>
    html`<tr>
<td class="c-name">${linkName(scene, link.short)}<span class="dest">${link.long}</span></td>
${owner && html`<td class="c-owner">${ownerName(link.owner)}</td>`}
${date && html`<td class="c-date">${link.lastEdit > 0 ? day(new Date(link.lastEdit * 1000)) : ''}</td>`}
<td class="c-clicks num"><a class="more" href="/.detail/${pathEscape(link.short)}" aria-label="${scene.host}/${link.short}: ${count(clicks, 'click')}, details">${clicks.toLocaleString('en-US')}${meter(clicks / most)}</a></td>
</tr>`;
  return html`<table class="list"><caption class="vh">${caption}</caption>
<thead><tr><th scope="col" class="c-name">Link</th>${owner && html`<th scope="col" class="c-owner">Owner</th>`}${date && html`<th scope="col" class="c-date">Edited</th>`}<th scope="col" class="c-clicks num">Clicks</th></tr></thead>
<tbody>${rows.map(row)}</tbody></table>`;
}

/** Each leads to the links that have it. `counts`: how many those are. */
export function tagList(
  tags: readonly string[],
  counts: ReadonlyMap<string, number> = new Map(),
): HtmlValue {
  if (tags.length === 0) return undefined;
  const tag = (name: string): Html =>
    html`<li><a class="tag" href="/.tags/${encodeURIComponent(name)}">${name}${counts.has(name) && html` <span class="num">${counts.get(name)!.toLocaleString('en-US')}</span>`}</a></li>`;
  return html`<ul class="tags" aria-label="Tags">${tags.map(tag)}</ul>`;
}

export function searchForm(scene: Scene, query = '', focused = false): Html {
  return html`<form class="search" role="search" method="get" action="/.search">
<label class="vh" for="q">Search links</label><input class="input" type="search" id="q" name="q" value="${query}" maxlength="200" placeholder="Search ${scene.host}/" autocomplete="off" autocapitalize="none" spellcheck="false"${focused && raw(' autofocus')}>
<button class="btn quiet" type="submit">Search</button></form>`;
}

/** Links whose names are nearly what was asked for. */
export function nearList(scene: Scene, near: readonly Row[]): HtmlValue {
  if (near.length === 0) return undefined;
  return html`<section class="card stack-s" aria-labelledby="near"><h2 id="near">Did you mean</h2>
<ul class="mini plain-ends">${near.map(({ link }) => html`<li>${linkName(scene, link.short)}<span class="dest">${link.description || link.long}</span></li>`)}</ul></section>`;
}

function meter(share: number): Html {
  const width = Math.max(share > 0 ? 2 : 0, Math.round(share * 40));
  return html`<svg class="meter" width="40" height="4" aria-hidden="true"><rect width="40" height="4" rx="2" fill="currentColor" opacity=".16"/><rect width="${width}" height="4" rx="2" fill="currentColor"/></svg>`;
}

export function count(amount: number, noun: string): string {
  return `${amount.toLocaleString('en-US')} ${noun}${amount === 1 ? '' : 's'}`;
}

export function ownerName(owner: string): HtmlValue {
  if (owner === '') return html`<span class="muted">nobody</span>`;
  if (owner === 'tagged-devices') return html`<span class="muted">a tagged device</span>`;
  const at = owner.lastIndexOf('@');
  return at <= 0 ? owner : html`${owner.slice(0, at)}<wbr>${owner.slice(at)}`;
}
