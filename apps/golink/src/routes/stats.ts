// Figures of the whole service, and the exports.
import type { Response } from 'express';
import { clicksOf, send, snapshotOf } from '../export.ts';
import { statsPage } from '../pages/stats.ts';
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
  app.all('/.export', (_req, res) => download(res, snapshotOf(store)));
  app.all('/.export-stats', (_req, res) => download(res, clicksOf(store)));
};

/** A download that nobody takes any more. */
const STALLED_MS = 60_000;

async function download(res: Response, parts: AsyncGenerator<string>): Promise<void> {
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  try {
    await send(parts, res, STALLED_MS);
  } catch (error) {
    // The other side went away: nobody to tell.
    if ((error as { code?: unknown }).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
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
