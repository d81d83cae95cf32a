// Figures of the whole service: clicks by day, links most used, names people missed, links nobody uses.
import { day, html } from '@cove/web';
import { pathEscape } from '../escape.ts';
import { isValidName } from '../links.ts';
import { UNUSED_DAYS, type Usage } from '../store/usage.ts';
import { chart } from './chart.ts';
import { count, frame, linkName, linkTable, type Scene } from './frame.ts';

export interface StatsContent extends Usage {
  /** Begin of the first day, in seconds since the epoch. */
  readonly from: number;
  readonly days: number;
}

export function statsPage(scene: Scene, content: StatsContent): string {
  const { topOfWeek, topOfMonth, missing, unused, days } = content;
  const nothing = html`<p class="empty">Nothing yet.</p>`;
  return frame(scene, {
    title: 'Statistics',
    current: 'stats',
    main: html`<section class="stack"><h1>Statistics</h1>
<p class="lede">How links are used, day by day in UTC. Clicks are counted for a link, not for a person${scene.countsVisitors ? ', except where a link tells who followed it' : ''}.</p></section>
<section class="stack" aria-labelledby="by-day"><h2 id="by-day">Clicks by day</h2>${chart(content)}</section>
<div class="halves">
<section class="stack" aria-labelledby="week"><h2 id="week">Most used, 7 days</h2>${topOfWeek.length > 0 ? linkTable(scene, topOfWeek, 'Most used links in 7 days') : nothing}</section>
<section class="stack" aria-labelledby="month"><h2 id="month">Most used, ${days} days</h2>${topOfMonth.length > 0 ? linkTable(scene, topOfMonth, `Most used links in ${days} days`) : nothing}</section>
<section class="stack" aria-labelledby="missing"><h2 id="missing">Looked for and not there</h2>
<p class="small muted">Names people typed in the last ${days} days and nobody has made.</p>
${missing.length > 0 ? html`<ul class="mini">${missing.map(({ name, visits }) => html`<li class="row between"><span class="grow"><span class="go"><i>${scene.host}/</i>${name}</span> <small>${count(visits, 'time')}</small></span>${!scene.readOnly && isValidName(name) && html`<a class="btn small quiet" href="${`/?short=${encodeURIComponent(name)}`}">Make it<span class="vh">: ${scene.host}/${name}</span></a>`}</li>`)}</ul>` : html`<p class="empty">Everybody found what they typed.</p>`}</section>
<section class="stack" aria-labelledby="unused"><h2 id="unused">Not used for ${UNUSED_DAYS} days</h2>
<p class="small muted">Neither followed nor changed; the oldest first.</p>
${unused.length > 0 ? html`<ul class="mini">${unused.map(({ link, clicks }) => html`<li>${linkName(scene, link.short, `/.detail/${pathEscape(link.short)}`)}<small>${link.lastEdit > 0 && html`edited ${day(new Date(link.lastEdit * 1000))} · `}${count(clicks, 'click')} before</small></li>`)}</ul>` : html`<p class="empty">Every link is in use, or new.</p>`}</section>
</div>`,
  });
}
