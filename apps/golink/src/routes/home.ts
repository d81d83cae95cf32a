// Home, also as the answer for a name that no link has.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { securityHeaders } from '@cove/web';
import type { Caller } from '../access.ts';
import { NEW_LINK } from '../editing.ts';
import { isValidName } from '../links.ts';
import type { Draft, Scene } from '../pages/frame.ts';
import { type HomeContent, homePage } from '../pages/home.ts';
import { type CountedLink, countLinks, listLinks } from '../store/listing.ts';
import { nearLinks } from '../store/near.ts';
import type { Store } from '../store/store.ts';
import { type Desk, type Mount, NOT_FOUND, queryOf, sentence, wantsHtml } from './desk.ts';

const MAX_POPULAR = 200;
const MAX_RECENT = 8;
const MAX_NEAR = 5;

export const mountHome: Mount = (app, desk) => {
  app.head('/', (_req, res) => void res.status(200).end());
  app.get('/', async (req, res) => {
    const caller = await desk.caller(req);
    const short = queryOf(req, 'short');
    const more = isValidName(short) ? { draft: { short } } : {};
    desk.send(res, await homeFor(desk, desk.sceneOf(res, caller.who), caller, more));
  });
};

export async function homeFor(
  desk: Desk,
  scene: Scene,
  caller: Caller,
  more: {
    readonly draft?: Draft;
    readonly missing?: string;
    readonly isPeer?: boolean;
    readonly near?: readonly CountedLink[];
  },
): Promise<string> {
  const token = desk.options.tokens.issue(caller.login, NEW_LINK);
  const lists = more.missing === undefined ? readLists(desk.store) : keptLists(desk.store);
  return homePage(scene, { token, ...(await lists), ...more });
}

type Lists = Pick<HomeContent, 'popular' | 'recent' | 'total'>;

async function readLists(store: Store): Promise<Lists> {
  const [popular, recent, total] = await Promise.all([
    listLinks(store, { order: 'clicks', used: true, limit: MAX_POPULAR }),
    listLinks(store, { order: 'edited', limit: MAX_RECENT }),
    countLinks(store),
  ]);
  return {
    popular: popular.links,
    recent: recent.links.filter(({ link }) => link.lastEdit > 0),
    total,
  };
}

/** Beside a name that nobody has made the lists may be a moment old, unless a link was changed here. */
const KEPT_MS = 1_000;
const lastLists: WeakMap<Store, { until: number; changes: number; lists: Promise<Lists> }> =
  new WeakMap();

function keptLists(store: Store): Promise<Lists> {
  const last = lastLists.get(store);
  const now = performance.now();
  if (last !== undefined && now < last.until && last.changes === store.changes) return last.lists;
  const lists = readLists(store);
  lastLists.set(store, { until: now + KEPT_MS, changes: store.changes, lists });
  lists.catch(() => lastLists.delete(store));
  return lists;
}

/** The page for a name no link has: home with the form filled in, status 404. */
export async function notFound(
  desk: Desk,
  req: IncomingMessage,
  res: ServerResponse,
  short: string,
): Promise<void> {
  const { callers, access, isPeerName } = desk.options;
  // Links work under any name; a page, which names the caller and carries a form token, does not.
  if (!desk.isOwn(req)) {
    res.writeHead(404, {
      'Content-Type': 'text/plain; charset=utf-8',
      'X-Content-Type-Options': 'nosniff',
    });
    res.end(`${NOT_FOUND}\n`);
    return;
  }
  for (const [name, value] of Object.entries(securityHeaders())) res.setHeader(name, value);
  let caller: Caller;
  try {
    caller = access.caller(await callers.of(req));
  } catch (error) {
    desk.answer(req, res, 404, sentence(error), undefined);
    return;
  }
  if (/application\/json/i.test(req.headers.accept ?? '') && !wantsHtml(req)) {
    res.writeHead(404, { 'Content-Type': 'application/json' });
    res.end(`${JSON.stringify({ error: `There is no link ${short}.` })}\n`);
    return;
  }
  const isPeer = short !== '' && isPeerName(short);
  const draft = { short, ...(isPeer ? { long: `http://${short}/` } : {}) };
  const near = await nearLinks(desk.store, short, MAX_NEAR);
  res.statusCode = 404;
  const scene = desk.sceneOf(res, caller.who);
  desk.send(res, await homeFor(desk, scene, caller, { draft, missing: short, isPeer, near }));
}
