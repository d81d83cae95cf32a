// All links, or those of one owner.
import { html } from '@cove/web';
import { frame, linkTable, type Row, type Scene, type Section } from './frame.ts';

export function listPage(
  scene: Scene,
  rows: readonly Row[],
  content: {
    readonly heading: string;
    readonly current?: Section;
    readonly empty: string;
    /** On all pages. */
    readonly total: number;
    /** Where the list goes on. */
    readonly next: string | undefined;
  },
): string {
  const { heading, current, empty, total, next } = content;
  return frame(scene, {
    title: heading,
    ...(current === undefined ? {} : { current }),
    main: html`<section class="stack">
<div class="row"><h1>${heading}</h1><span class="badge num">${total.toLocaleString('en-US')} total</span></div>
${rows.length > 0 ? linkTable(scene, rows, heading, { owner: true, date: true }) : html`<p class="empty">${empty}</p>`}
${next !== undefined && html`<p class="row"><a class="btn quiet" rel="next" href="${next}">More links</a></p>`}
<p class="small muted">Take all links with you: <a href="/.export">export as JSON lines</a>.</p>
</section>`,
  });
}
