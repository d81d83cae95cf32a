// Home: the form that creates a link, the most used links, the newest. Also shown for a name nobody has taken yet.
import { day, type Html, type HtmlValue, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import {
  composer,
  count,
  type Draft,
  frame,
  linkName,
  linkTable,
  nearList,
  ownerName,
  type Row,
  type Scene,
  searchForm,
} from './frame.ts';

export interface HomeContent {
  readonly token: string;
  readonly popular: readonly Row[];
  readonly recent: readonly Row[];
  readonly total: number;
  readonly draft?: Draft;
  /** A name somebody followed and nobody has made. */
  readonly missing?: string;
  /** Links with names nearly like it. */
  readonly near?: readonly Row[];
  /** There is a machine of that name in this network. */
  readonly isPeer?: boolean;
}

export function homePage(scene: Scene, content: HomeContent): string {
  const { token, total, draft, missing } = content;
  return frame(scene, {
    title: missing === undefined ? scene.title : `${scene.host}/${missing} is free`,
    ...(missing === undefined ? { current: 'home' } : {}),
    main: html`<section class="stack" aria-labelledby="top">
${missing === undefined ? welcome(scene) : notFound(scene, missing, content.isPeer === true)}
${content.near !== undefined && nearList(scene, content.near)}
${composer(scene, token, draft)}
</section>
${total > 0 && searchForm(scene)}
${keptLists(scene, content)}
${total === 0 && html`<p class="empty">No links yet. The first one is yours.</p>`}`,
  });
}

function welcome(scene: Scene): Html {
  return html`<h1 id="top">Links you can say out loud.</h1>
<p class="lede">Give a long address a short name. Then everyone here types <span class="go">${scene.host}/name</span> in a browser and arrives.</p>`;
}

function notFound(scene: Scene, missing: string, isPeer: boolean): Html {
  return html`<h1 id="top" class="bigname"><i>${scene.host}/</i>${missing}</h1>
<p class="lede">${
    isPeer
      ? html`Nobody has made this link yet. Did you mean the machine <a href="http://${missing}/">${missing}</a>?`
      : scene.readOnly
        ? 'There is no link of this name.'
        : 'Nobody has made this link yet. You can be the one.'
  }</p>`;
}

/** The lists as they were shown last, for pages that show the same again. */
const shown: WeakMap<readonly Row[], { readonly host: string; readonly lists: HtmlValue }> =
  new WeakMap();

function keptLists(scene: Scene, { popular, recent, total }: HomeContent): HtmlValue {
  const known = shown.get(popular);
  if (known !== undefined && known.host === scene.host) return known.lists;
  const made = lists(scene, popular, recent, total);
  shown.set(popular, { host: scene.host, lists: made });
  return made;
}

function lists(
  scene: Scene,
  popular: readonly Row[],
  recent: readonly Row[],
  total: number,
): HtmlValue {
  if (total === 0) return undefined;
  const all = html`<a class="small" href="/.all">All ${count(total, 'link')}</a>`;
  const popularList =
    popular.length > 0
      ? linkTable(scene, popular, 'Most used links')
      : html`<p class="empty">Nobody has followed a link yet.</p>`;
  return html`<div class="two">
<section class="stack" aria-labelledby="popular"><div class="row between"><h2 id="popular">Popular</h2>${all}</div>${popularList}</section>
${recent.length > 0 && html`<section class="stack" aria-labelledby="recent"><h2 id="recent">Recently edited</h2><ul class="mini">${recent.map(({ link }) => html`<li>${linkName(scene, link.short, `/.detail/${pathEscape(link.short)}`)}<small>${day(new Date(link.lastEdit * 1000))} · ${ownerName(link.owner)}</small></li>`)}</ul></section>`}
</div>`;
}
