// What a search found, and the tags links have.
import { html } from '@cove/web';
import type { CountedLink } from '../store/listing.ts';
import { count, frame, linkTable, nearList, type Scene, searchForm, tagList } from './frame.ts';

export interface SearchContent {
  readonly query: string;
  readonly found: readonly CountedLink[];
  /** Where nothing was found. */
  readonly near: readonly CountedLink[];
  readonly limit: number;
}

export function searchPage(scene: Scene, content: SearchContent): string {
  const { query, found, near, limit } = content;
  return frame(scene, {
    title: query === '' ? 'Search' : `Search: ${query}`,
    main: html`<section class="stack"><div class="row"><h1>Search</h1>${query !== '' && html`<span class="badge num" role="status">${found.length >= limit ? `the first ${limit}` : count(found.length, 'link')}</span>`}</div>
${searchForm(scene, query, query === '')}
<p class="hint">In names, destinations, owners, descriptions and tags; every word must be found. <span class="mono">owner:mia</span> and <span class="mono">tag:docs</span> look only there. <a href="/.tags">All tags</a></p></section>
${
  query !== '' &&
  html`<section class="stack" aria-label="Found links">${
    found.length > 0
      ? linkTable(scene, found, `Links found for ${query}`, { owner: true, date: true })
      : html`<p class="empty">No link has ${/\s/.test(query) ? 'all of these words' : 'this'}.</p>`
  }${near.length > 0 && nearList(scene, near)}</section>`
}`,
  });
}

export function tagsPage(
  scene: Scene,
  tags: readonly { readonly tag: string; readonly links: number }[],
): string {
  return frame(scene, {
    title: 'Tags',
    main: html`<section class="stack"><h1>Tags</h1>
${
  tags.length > 0
    ? tagList(
        tags.map(({ tag }) => tag),
        new Map(tags.map(({ tag, links }) => [tag, links])),
      )
    : html`<p class="empty">No link has a tag yet. Tags are given on the page of a link.</p>`
}</section>`,
  });
}
