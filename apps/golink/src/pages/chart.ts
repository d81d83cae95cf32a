// Clicks by day as bars, with the same as a table for those who cannot or do not want to see bars.
import { day, type Html, html } from '@cove/web';
import { DAY_S } from '../store/clicks.ts';
import { count } from './frame.ts';

export interface ChartContent {
  /** Begin of the first day, in seconds since the epoch. */
  readonly from: number;
  readonly days: number;
  /** Days without clicks may be left out. */
  readonly series: readonly { readonly at: number; readonly clicks: number }[];
}

const HEIGHT = 100;
const SLOT = 10;
const BAR = 7;

export function chart(content: ChartContent): Html {
  const { from, days } = content;
  const byDay = new Map(content.series.map(({ at, clicks }) => [at, Number(clicks)]));
  const counts = Array.from({ length: days }, (_, i) => byDay.get(from + i * DAY_S) ?? 0);
  const total = counts.reduce((sum, n) => sum + n, 0);
  const most = Math.max(...counts);
  const dayAt = (i: number): Date => new Date((from + i * DAY_S) * 1000);
  if (total === 0) return html`<p class="empty">No clicks in the last ${days} days.</p>`;
  const peak = counts.indexOf(most);
  const summary = `${count(total, 'click')} in the last ${days} days; most on ${label(dayAt(peak))}: ${most.toLocaleString('en-US')}`;
  return html`<figure class="chart">
<div class="chart-plot"><span class="chart-max num" aria-hidden="true">${most.toLocaleString('en-US')}</span>
<svg viewBox="0 0 ${days * SLOT} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${summary}">
<path class="chart-grid" d="M0 .5H${days * SLOT}M0 ${HEIGHT / 2}H${days * SLOT}" vector-effect="non-scaling-stroke"/>
${counts.map((n, i) => bar(n, i, most, label(dayAt(i))))}
</svg></div>
<figcaption class="row between small muted"><span>${day(dayAt(0))}</span><span>${count(total, 'click')} in ${days} days</span><span>${day(dayAt(days - 1))}</span></figcaption>
</figure>
<details class="small"><summary>These numbers as a table</summary>
<table class="plain"><caption class="vh">Clicks by day</caption><thead><tr><th scope="col">Day</th><th scope="col" class="num">Clicks</th></tr></thead>
<tbody>${counts.map((n, i) => n > 0 && html`<tr><td>${day(dayAt(i))}</td><td class="num">${n.toLocaleString('en-US')}</td></tr>`)}</tbody></table></details>`;
}

function bar(clicks: number, i: number, most: number, name: string): Html {
  const height = clicks === 0 ? 1 : Math.max(3, Math.round((clicks / most) * HEIGHT));
  const x = i * SLOT + (SLOT - BAR) / 2;
  return html`<rect${clicks === 0 && html` class="none"`} x="${x}" y="${HEIGHT - height}" width="${BAR}" height="${height}"><title>${name}: ${count(clicks, 'click')}</title></rect>`;
}

function label(date: Date): string {
  return date.toLocaleDateString('en-US', { dateStyle: 'medium', timeZone: 'UTC' });
}
