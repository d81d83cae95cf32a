// All links, one's own, or those of one owner or tag, a page at a time.
import { html } from '@cove/web';
import { frame, linkTable, type Row, type Scene, type Section, searchForm } from './frame.ts';

export function listPage(
  scene: Scene,
  rows: readonly Row[],
  content: {
    readonly heading: string;
    readonly current?: Section;
    readonly empty: string;
    /** What the search field is filled with. */
    readonly query?: string;
    /** On all pages. */
    readonly total: number;
    /** Where the list goes on. */
    readonly next: string | undefined;
    /** Where it begins; undefined on the first page. */
    readonly first: string | undefined;
  },
): string {
  const { heading, current, empty, total, next, first, query = '' } = content;
  return frame(scene, {
    title: heading,
    ...(current === undefined ? {} : { current }),
    main: html`<section class="stack">
<div class="row"><h1>${heading}</h1><span class="badge num">${total.toLocaleString('en-US')} total</span></div>
${searchForm(scene, query)}
${rows.length > 0 ? linkTable(scene, rows, heading, { owner: true, date: true }) : html`<p class="empty">${empty}</p>`}
${(next !== undefined || first !== undefined) && html`<nav class="row" aria-label="Pages of this list">${first !== undefined && html`<a class="btn quiet" rel="first" href="${first}">First page</a>`}${next !== undefined && html`<a class="btn quiet" rel="next" href="${next}">More links</a>`}</nav>`}
<p class="small muted">Take all links with you: <a href="/.export">export as JSON lines</a>.</p>
</section>`,
  });
}
