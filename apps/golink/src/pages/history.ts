// All changes, or those of one link; and the links that were deleted not long ago.
import { day, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import type { Link } from '../links.ts';
import type { Change } from '../store/history.ts';
import { changeList } from './changes.ts';
import { frame, linkName, ownerName, type Scene } from './frame.ts';

export interface HistoryContent {
  readonly changes: readonly Change[];
  /** Of this link only. */
  readonly short?: string;
  readonly lives?: boolean;
  readonly latest?: number;
  readonly restoreToken?: string;
  /** Where older ones are. */
  readonly next?: string;
  readonly admin: boolean;
}

export function historyPage(scene: Scene, content: HistoryContent): string {
  const { changes, short, lives = false, latest, restoreToken, next, admin } = content;
  const heading =
    short === undefined
      ? html`<h1>Changes</h1><p class="lede">Who changed which link, newest first.</p>`
      : html`<h1 class="bigname"><i>${scene.host}/</i>${short}</h1>
<p class="lede">${lives ? html`All its changes, newest first. <a href="/.detail/${pathEscape(short)}">To the link</a>` : 'It was deleted. All its changes, newest first.'}</p>`;
  return frame(scene, {
    title: short === undefined ? 'Changes' : `Changes of ${scene.host}/${short}`,
    ...(short === undefined ? { current: 'history' as const } : {}),
    main: html`<section class="stack">${heading}
<p class="row small"><a href="/.deleted">Deleted links</a>${admin && html`<a href="/.rewind">Restore the whole service</a>`}</p></section>
<section class="stack narrow" aria-label="Changes">
${
  changes.length === 0
    ? html`<p class="empty">Nothing has been changed yet.</p>`
    : changeList(scene, changes, {
        named: short === undefined,
        ...(restoreToken !== undefined && !scene.readOnly && { restoreToken }),
        // Of a deleted link the deletion can be undone.
        ...(latest !== undefined && lives && { latest }),
      })
}
${next !== undefined && html`<p class="row"><a class="btn quiet" rel="next" href="${next}">Older changes</a></p>`}
</section>`,
  });
}

export interface DeletedRow {
  readonly link: Link;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly by: string;
  /** Number of the change that can be undone; undefined where the caller may not. */
  readonly seq: number | undefined;
}

export function deletedLinksPage(
  scene: Scene,
  rows: readonly DeletedRow[],
  token: string,
  limit: number,
): string {
  return frame(scene, {
    title: 'Deleted links',
    main: html`<section class="stack"><h1>Deleted links</h1>
<p class="lede">They can be brought back for 30 days after they were deleted.</p></section>
<section class="stack" aria-label="Deleted links">
${
  rows.length === 0
    ? html`<p class="empty">Nothing was deleted in the last 30 days.</p>`
    : html`<ul class="mini wide">${rows.map(
        ({
          link,
          at,
          by,
          seq,
        }) => html`<li class="row between"><div class="grow">${linkName(scene, link.short, `/.history/${pathEscape(link.short)}`)}<span class="dest">${link.long}</span><small>${day(new Date(at * 1000))} by ${by === '' ? 'the command line' : ownerName(by)} · owner ${ownerName(link.owner)}</small></div>
${seq !== undefined && !scene.readOnly && html`<form method="post" action="/.restore/${String(seq)}"><input type="hidden" name="xsrf" value="${token}"><button class="btn small quiet" type="submit">Bring back<span class="vh"> ${scene.host}/${link.short}</span></button></form>`}</li>`,
      )}</ul>`
}
${rows.length >= limit && html`<p class="small muted">Only the last ${limit} are shown; older ones are among the <a href="/.history">changes</a>.</p>`}
</section>`,
  });
}
