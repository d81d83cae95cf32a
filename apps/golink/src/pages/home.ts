// Home: the form that creates a link, the most used links, the newest. Also shown for a name nobody has taken yet.
import { type Html, html } from '@cove/web';
import { composer, type Draft, frame, linkTable, type Row, type Scene } from './frame.ts';

export interface HomeContent {
  readonly token: string;
  readonly popular: readonly Row[];
  readonly recent: readonly Row[];
  readonly total: number;
  readonly draft?: Draft;
  /** A name somebody followed and nobody has made. */
  readonly missing?: string;
  /** There is a machine of that name in this network. */
  readonly isPeer?: boolean;
}

export function homePage(scene: Scene, content: HomeContent): string {
  const { token, popular, recent, total, draft, missing } = content;
  return frame(scene, {
    title: missing === undefined ? scene.title : `${scene.host}/${missing} is free`,
    ...(missing === undefined ? { current: 'home' } : {}),
    main: html`<section class="stack" aria-labelledby="top">
${missing === undefined ? welcome(scene) : notFound(scene, missing, content.isPeer === true)}
${composer(scene, token, draft)}
</section>
${popular.length > 0 && html`<section class="stack" aria-labelledby="popular"><div class="row between"><h2 id="popular">Popular</h2><a class="small" href="/.all">All ${total.toLocaleString('en-US')}</a></div>${linkTable(scene, popular, 'Most used links', { owner: true })}</section>`}
${recent.length > 0 && html`<section class="stack" aria-labelledby="recent"><div class="row between"><h2 id="recent">Recently edited</h2>${popular.length === 0 && html`<a class="small" href="/.all">All ${total.toLocaleString('en-US')}</a>`}</div>${linkTable(scene, recent, 'Recently edited links', { owner: true, date: true })}</section>`}
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
