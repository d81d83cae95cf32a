// One link: where it leads, whose it is, how it is used and how it changed; for those who may, the form to edit it.
import { day, type Html, type HtmlValue, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';
import type { Change } from '../store/history.ts';
import { changeList, differences } from './changes.ts';
import { type ChartContent, chart } from './chart.ts';
import { type EditValues, editForms } from './editform.ts';
import { composer, count, destination, frame, ownerName, type Scene, tagList } from './frame.ts';

export interface DetailContent {
  readonly link: Link;
  readonly clicks: number;
  readonly changes: readonly Change[];
  readonly hasMoreChanges: boolean;
  readonly chart: ChartContent;
  /** Present where visitors are counted. */
  readonly visitors?: readonly { readonly login: string; readonly clicks: number }[];
  /** Present when the caller may edit. */
  readonly edit?: {
    readonly token: string;
    readonly restoreToken: string;
    readonly fields: EditValues;
  };
  /** `exists`: the caller tried to create a link of this name. */
  readonly notice?: 'exists' | 'saved' | 'restored' | undefined;
  /** What the caller typed and could not be saved. */
  readonly typed?: EditValues;
  readonly problem?: { readonly code: string; readonly message: string };
}

export function detailPage(scene: Scene, content: DetailContent): string {
  const { link, clicks, changes, edit, visitors } = content;
  const name = pathEscape(link.short);
  return frame(scene, {
    title: `${scene.host}/${link.short}`,
    main: html`<section class="stack">
${notice(scene, content)}
<h1 class="bigname"><i>${scene.host}/</i>${link.short}</h1>
<p class="target">${destination(link.long)}</p>
${link.description !== '' && html`<p class="lede keep-lines">${link.description}</p>`}
${tagList(link.tags)}
<p class="row"><a class="btn" href="/${name}">Follow the link</a>${link.aliases.length > 0 && html`<span class="muted">also ${link.aliases.map((alias, i) => html`${i > 0 && ', '}<span class="go">${scene.host}/${alias}</span>`)}</span>`}</p>
</section>
<dl class="facts card">
<div><dt>Owner</dt><dd>${ownerName(link.owner)}</dd></div>
<div><dt>Clicks</dt><dd class="num">${clicks.toLocaleString('en-US')}</dd></div>
<div><dt>Created</dt><dd>${when(link.created)}</dd></div>
<div><dt>Last edited</dt><dd>${when(link.lastEdit)}</dd></div>
${(link.editors.length > 0 || link.openEdit) && html`<div class="wide"><dt>May edit</dt><dd>${link.openEdit ? 'anyone in this network' : ['the owner', ...link.editors].join(', ')}</dd></div>`}
</dl>
<div class="two">
<section class="stack">${edit === undefined ? readOnly(scene, link) : editForms(scene, link, edit.token, content.typed ?? edit.fields)}</section>
<div class="stack wide-gap">
<section class="stack" aria-labelledby="clicks"><h2 id="clicks">Clicks</h2>${chart(content.chart)}</section>
${visitors !== undefined && visitorTable(visitors)}
${changes.length > 0 && html`<section class="stack" aria-labelledby="changes"><div class="row between"><h2 id="changes">Changes</h2>${content.hasMoreChanges && html`<a class="small" href="/.history/${name}">All of them</a>`}</div>${changeList(scene, changes, { latest: changes[0]!.seq, ...(edit && { restoreToken: edit.restoreToken }) })}</section>`}
</div>
</div>`,
  });
}

function notice(scene: Scene, content: DetailContent): HtmlValue {
  const { link, edit, problem, changes } = content;
  if (problem?.code === 'ERR_CONFLICT') {
    const last = changes[0];
    return html`<div class="notice bad stack-s" role="alert"><p><b>Not saved: somebody changed this link while you edited it.</b> What you typed is still in the form below; saving again puts it in place of what is there now.</p>
${last !== undefined && html`<p>${last.actor === '' ? 'Command line' : last.actor} made this change:</p>${differences(last.before, last.after)}`}</div>`;
  }
  if (problem !== undefined)
    return html`<p class="notice bad" role="alert"><b>Not saved.</b> ${problem.message}</p>`;
  if (content.notice === 'saved')
    return html`<p class="notice" role="status">Saved. From now on it leads here.</p>`;
  if (content.notice === 'restored')
    return html`<p class="notice" role="status">Restored. It is again what it was.</p>`;
  if (content.notice === 'exists')
    return html`<p class="notice warn" role="status"><b>${scene.host}/${link.short}</b> exists already. Nothing was changed; ${edit === undefined ? 'here is where it leads' : 'you can edit it below'}.</p>`;
  return undefined;
}

function when(seconds: number): Html {
  return seconds > 0 ? day(new Date(seconds * 1000)) : html`<span class="muted">unknown</span>`;
}

function visitorTable(visitors: NonNullable<DetailContent['visitors']>): Html {
  return html`<section class="stack" aria-labelledby="visitors"><h2 id="visitors">Who followed it</h2>
${
  visitors.length === 0
    ? html`<p class="empty">Nobody yet, in the last 30 days.</p>`
    : html`<table class="plain"><caption class="vh">Visitors in the last 30 days</caption><thead><tr><th scope="col">Login</th><th scope="col" class="num">Clicks</th></tr></thead>
<tbody>${visitors.map(({ login, clicks }) => html`<tr><td>${ownerName(login)}</td><td class="num">${Number(clicks).toLocaleString('en-US')}</td></tr>`)}</tbody></table>`
}</section>`;
}

function readOnly(scene: Scene, link: Link): Html {
  return html`<p class="notice">${
    scene.readOnly
      ? 'Links cannot be changed at the moment.'
      : html`Only ${link.owner}${link.editors.length > 0 && ', an editor'} or an admin of ${scene.host} can change this link.`
  }</p>`;
}

/** Shown after a link was saved. */
export function savedPage(scene: Scene, link: Link, created: boolean): string {
  return frame(scene, {
    title: `${scene.host}/${link.short} ${created ? 'created' : 'saved'}`,
    main: html`<section class="stack narrow">
<p class="badge">${created ? 'Created' : 'Saved'}</p>
<h1 class="bigname"><i>${scene.host}/</i>${link.short}</h1>
<p class="target">${destination(link.long)}</p>
<p class="lede">${created ? 'It works right now, for everyone on this network.' : 'From now on it leads here.'}</p>
<p class="row"><a class="btn" href="/${pathEscape(link.short)}">Follow the link</a><a class="btn quiet" href="/.detail/${pathEscape(link.short)}">Details</a><a class="btn quiet" href="/">Make another</a></p>
</section>`,
  });
}

/** Shown after a link was deleted. `token`: of both forms. `seq`: number of the change, to undo it. */
export function deletedPage(
  scene: Scene,
  link: Link,
  clicks: number,
  token: string,
  seq: number | undefined,
): string {
  return frame(scene, {
    title: `${scene.host}/${link.short} deleted`,
    main: html`<section class="stack">
<p class="badge">Deleted</p>
<h1 class="bigname"><i>${scene.host}/</i>${link.short}</h1>
<p class="lede">It is gone, after ${count(clicks, 'click')}. For 30 days it is among the <a href="/.deleted">deleted links</a>.</p>
${seq !== undefined && html`<form method="post" action="/.restore/${String(seq)}"><input type="hidden" name="xsrf" value="${token}"><button class="btn" type="submit">Undo: bring it back</button></form>`}
</section>
<section class="stack" aria-labelledby="again"><h2 id="again">Or make a new one of this name</h2>
${composer(scene, token, link)}
</section>`,
  });
}
