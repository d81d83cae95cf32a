// The form that edits everything of a link, and the one that deletes it.
import { type Html, html, raw } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';
import type { Scene } from './frame.ts';

/** What the fields are filled with. */
export interface EditValues {
  readonly short: string;
  readonly long: string;
  readonly owner: string;
  readonly description: string;
  readonly tags: string;
  readonly editors: string;
  readonly aliases: string;
  readonly openEdit: boolean;
  readonly appendToPath: boolean;
  readonly keepOldName: boolean;
}

/** `token`: bound to the link's name. */
export function editForms(scene: Scene, link: Link, token: string, values: EditValues): Html {
  const { host } = scene;
  const isMore = values.openEdit || values.appendToPath || values.editors !== '';
  return html`<h2 id="edit">Edit</h2>
<form class="card stack" method="post" action="/.edit/${pathEscape(link.short)}" aria-labelledby="edit">
<input type="hidden" name="xsrf" value="${token}">
<input type="hidden" name="version" value="${link.version}">
<div class="field"><label for="long">Destination</label>
<textarea class="input mono" id="long" name="long" required rows="3" autocapitalize="none" autocomplete="off" spellcheck="false">${values.long}</textarea></div>
<div class="field"><label for="short">Name</label>
<span class="affix"><span aria-hidden="true">${host}/</span><input id="short" name="short" value="${values.short}" required pattern="[A-Za-z0-9_][A-Za-z0-9_.\\-]*" autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="short-hint"></span>
${check('keepOldName', 'When the name changes, the old one goes on leading here', values.keepOldName)}
<span class="hint" id="short-hint">Capitals and dashes make no difference when typing a name.</span></div>
<div class="field"><label for="description">What it is for</label>
<textarea class="input" id="description" name="description" rows="2" maxlength="1000">${values.description}</textarea></div>
${field('tags', 'Tags', values.tags, 'A few words with blanks between, to find it by.')}
<details${isMore && raw(' open')}><summary>Owner, editors, other names</summary>
<div class="stack">
${field('owner', 'Owner', values.owner, 'Hand it to someone else by their login. Empty means you.')}
${field('editors', 'Editors', values.editors, 'Who may edit besides the owner: logins, or group:name.')}
${field('aliases', 'Other names', values.aliases, 'They lead here too.')}
${check('openEdit', `Anyone in this network may edit ${host}/${link.short}`, values.openEdit)}
${check('appendToPath', 'Put what follows the name behind the path of the address, before its query (?) or fragment (#)', values.appendToPath)}
</div></details>
<p class="row"><button class="btn" type="submit">Save changes</button></p>
</form>
<details><summary>Delete this link</summary>
<form class="card stack" method="post" action="/.delete/${pathEscape(link.short)}">
<input type="hidden" name="xsrf" value="${token}">
<p>After this, <span class="go">${host}/${link.short}</span> leads nowhere. It can be brought back for 30 days.</p>
<p class="row"><button class="btn danger" type="submit">Delete ${host}/${link.short}</button></p>
</form></details>`;
}

function field(name: string, label: string, value: string, hint: string): Html {
  return html`<div class="field"><label for="${name}">${label}</label>
<input class="input" id="${name}" name="${name}" value="${value}" autocapitalize="none" autocomplete="off" spellcheck="false" aria-describedby="${name}-hint">
<span class="hint" id="${name}-hint">${hint}</span></div>`;
}

/** A box to tick, with its words. */
export function check(name: string, label: string, checked: boolean): Html {
  return html`<span class="check"><input type="checkbox" id="${name}" name="${name}" value="1"${checked && raw(' checked')}><label for="${name}">${label}</label></span>`;
}
