// One link: where it leads, whose it is, how it changed; forms to edit and delete it for those who may.
import { day, type Html, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';
import type { Change } from '../store/history.ts';
import { count, destination, frame, ownerName, type Scene } from './frame.ts';

export interface DetailContent {
  readonly link: Link;
  readonly clicks: number;
  readonly changes: readonly Change[];
  /** Present when the caller may edit. */
  readonly edit?: { readonly token: string; readonly owner: string };
  /** The caller tried to create a link of this name. */
  readonly exists: boolean;
}

export function detailPage(scene: Scene, content: DetailContent): string {
  const { link, clicks, changes, edit, exists } = content;
  return frame(scene, {
    title: `${scene.host}/${link.short}`,
    main: html`<section class="stack">
${exists && html`<p class="notice warn" role="status"><b>${scene.host}/${link.short}</b> exists already. Nothing was changed; ${edit === undefined ? 'here is where it leads' : 'you can edit it below'}.</p>`}
<h1 class="bigname"><i>${scene.host}/</i>${link.short}</h1>
<p class="target">${destination(link.long)}</p>
<p class="row"><a class="btn" href="/${pathEscape(link.short)}">Follow the link</a></p>
</section>
<dl class="facts card">
<div><dt>Owner</dt><dd>${ownerName(link.owner)}</dd></div>
<div><dt>Clicks</dt><dd class="num">${clicks.toLocaleString('en-US')}</dd></div>
<div><dt>Created</dt><dd>${when(link.created)}</dd></div>
<div><dt>Last edited</dt><dd>${when(link.lastEdit)}</dd></div>
</dl>
<div class="two">
<section class="stack">${edit === undefined ? readOnly(scene, link) : editForms(scene, link, edit)}</section>
${changes.length > 0 && html`<section class="stack" aria-labelledby="changes"><h2 id="changes">Changes</h2><ol class="log">${changes.map((change) => entry(change))}</ol></section>`}
</div>`,
  });
}

function when(seconds: number): Html {
  return seconds > 0 ? day(new Date(seconds * 1000)) : html`<span class="muted">unknown</span>`;
}

function editForms(scene: Scene, link: Link, edit: { token: string; owner: string }): Html {
  return html`<h2>Edit</h2>
<form class="card stack" method="post" action="/">
<input type="hidden" name="xsrf" value="${edit.token}">
<div class="field"><label for="short">Name</label>
<span class="affix"><span aria-hidden="true">${scene.host}/</span><input id="short" name="short" value="${link.short}" required pattern="[A-Za-z0-9_][A-Za-z0-9_.\\-]*" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="short-hint"></span>
<span class="hint" id="short-hint">Capitals and dashes can be changed; they make no difference when typing it.</span></div>
<div class="field"><label for="long">Destination</label>
<textarea class="input mono" id="long" name="long" required rows="3" autocapitalize="none" autocomplete="off" spellcheck="false">${link.long}</textarea></div>
<div class="field"><label for="owner">Owner</label>
<input class="input" id="owner" name="owner" value="${edit.owner}" autocapitalize="none" autocomplete="off" spellcheck="false" aria-describedby="owner-hint">
<span class="hint" id="owner-hint">Hand it to someone else by their login. Empty means you.</span></div>
<p class="row"><button class="btn" type="submit">Save changes</button></p>
</form>
<details><summary>Delete this link</summary>
<form class="card stack" method="post" action="/.delete/${pathEscape(link.short)}">
<input type="hidden" name="xsrf" value="${edit.token}">
<p>After this, <span class="go">${scene.host}/${link.short}</span> leads nowhere and its click count is gone.</p>
<p class="row"><button class="btn danger" type="submit">Delete ${scene.host}/${link.short}</button></p>
</form></details>`;
}

function readOnly(scene: Scene, link: Link): Html {
  return html`<p class="notice">${
    scene.readOnly
      ? 'Links cannot be changed at the moment.'
      : html`Only ${link.owner} or an admin of ${scene.host} can change this link.`
  }</p>`;
}

const WORDS: Readonly<Record<Change['kind'], string>> = {
  create: 'created it',
  update: 'changed it',
  delete: 'deleted it',
  import: 'imported it',
  rename: 'renamed it',
  restore: 'restored it',
};

function entry(change: Change): Html {
  const before = change.before?.long;
  const after = change.after?.long;
  const who = change.actor === '' ? 'Command line' : change.actor;
  const from =
    change.actor === 'tagged-devices' && change.actorNode !== '' ? ` (${change.actorNode})` : '';
  return html`<li><span><b>${who}${from}</b> ${WORDS[change.kind]}</span>
${before !== undefined && after !== undefined && before !== after && html`<span class="muted">was <span class="mono">${before}</span></span>`}
<span class="muted">${day(new Date(change.at))}</span></li>`;
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

/** Shown after a link was deleted; `form` creates it again. */
export function deletedPage(scene: Scene, link: Link, clicks: number, form: Html): string {
  return frame(scene, {
    title: `${scene.host}/${link.short} deleted`,
    main: html`<section class="stack">
<p class="badge">Deleted</p>
<h1 class="bigname"><i>${scene.host}/</i>${link.short}</h1>
<p class="lede">It is gone, after ${count(clicks, 'click')}. If that was a mistake, this makes it again:</p>
${form}
</section>`,
  });
}
