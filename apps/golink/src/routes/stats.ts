// Figures of the whole service, and the exports.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { statsPage } from '../pages/stats.ts';
import { snapshotOf } from '../snapshot.ts';
import type { Store } from '../store/store.ts';
import { type Usage, usage } from '../store/usage.ts';
import type { Desk, Mount } from './desk.ts';
import { CHART_DAYS, daysAgo } from './linkpage.ts';

export const mountStats: Mount = (app, desk) => {
  const figures = kept(desk);
  app.get('/.stats', async (req, res) => {
    const from = daysAgo(desk.store.now(), CHART_DAYS);
    const found = await figures(from);
    desk.send(res, statsPage(await desk.scene(req, res), { ...found, from, days: CHART_DAYS }));
  });
};

export const mountExports: Mount = (app, desk) => {
  const { store } = desk;
  app.all('/.export', (_req, res) => {
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    return pipeline(Readable.from(snapshotOf(store)), res);
  });
  app.all('/.export-stats', async (_req, res) => {
    await store.flush();
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    await pipeline(Readable.from(statsLines(store)), res);
  });
};

async function* statsLines(store: Store): AsyncGenerator<string> {
  for await (const rows of store.clicks.export())
    yield rows.map(({ id, at, clicks }) => `${id},${at},${clicks}\n`).join('');
}

/** Figures that took longer are shown again for twenty times as long, so that they never take more than a small share. */
const LONG_MS = 500;
const KEPT_FACTOR = 20;

function kept(desk: Desk): (from: number) => Promise<Usage> {
  let last: { readonly from: number; until: number; readonly found: Promise<Usage> } | undefined;
  return async (from) => {
    if (last?.from === from && performance.now() < last.until) return last.found;
    const began = performance.now();
    const next = { from, until: Number.POSITIVE_INFINITY, found: usage(desk.store, from) };
    last = next;
    try {
      return await next.found;
    } finally {
      const took = performance.now() - began;
      next.until = took < LONG_MS ? 0 : performance.now() + took * KEPT_FACTOR;
      if (
        await next.found.then(
          () => false,
          () => true,
        )
      )
        last = undefined;
    }
  };
}
