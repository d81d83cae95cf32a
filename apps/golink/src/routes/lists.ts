// Lists of links a page at a time, search, and what browsers ask while somebody types.
import type { Request, Response } from 'express';
import { editorNames } from '../access.ts';
import { GolinkError } from '../errors.ts';
import type { Section } from '../pages/frame.ts';
import { openSearch } from '../pages/help.ts';
import { listPage } from '../pages/list.ts';
import { searchPage, tagsPage } from '../pages/search.ts';
import { type CountedLink, countLinks, type ListQuery, listLinks } from '../store/listing.ts';
import { nearLinks } from '../store/near.ts';
import { searchLinks, suggestLinks } from '../store/search.ts';
import { usedTags } from '../store/usage.ts';
import { type Desk, type Mount, nameOf, queryOf, wantsHtml } from './desk.ts';

/** Links on one page of a list. */
const PAGE_ROWS = 500;
const MAX_FOUND = 100;
const MAX_SUGGESTED = 10;
const MAX_QUERY = 200;

export const mountLists: Mount = (app, desk) => {
  app.all('/.all', (req, res) => {
    const content = { heading: 'All links', current: 'all', empty: 'No links yet.' } as const;
    return list(desk, req, res, '/.all', {}, content);
  });
  app.all('/.search', (req, res) => search(desk, req, res));
  app.all('/.mine', (req, res) => mine(desk, req, res));
  app.get('/.tags', async (req, res) => {
    const tags = await usedTags(desk.store);
    desk.send(res, tagsPage(await desk.scene(req, res), tags));
  });
  app.get('/.tags/{*name}', (req, res) => {
    const tag = nameOf(req).toLowerCase();
    const content = { heading: `Tagged ${tag}`, empty: 'No links have this tag.' };
    return list(desk, req, res, `/.tags/${encodeURIComponent(tag)}`, { tag }, content);
  });
  app.get('/.suggest', (req, res) => suggest(desk, req, res));
  app.all('/.opensearch', (_req, res) => {
    res.type('application/opensearchdescription+xml');
    res.end(openSearch(desk.options.hostname, desk.options.title));
  });
};

async function search(desk: Desk, req: Request, res: Response): Promise<void> {
  const query = queryOf(req, 'q');
  const owner = /^owner:(.*)$/s.exec(query)?.[1];
  // golink knows no other search, and answers programs so.
  if (owner === undefined && !wantsHtml(req))
    throw new GolinkError('ERR_REQUEST', 'search only supports "owner:<email>"');
  // A whole login is golink's search; a part of one, or more words, ours.
  if (owner !== undefined && (!wantsHtml(req) || /^\S+@\S+$/.test(owner))) {
    const who = await desk.options.callers.of(req).catch(() => undefined);
    const own = who !== undefined && asciiLower(who.user.loginName) === asciiLower(owner);
    const path = `/.search?q=${encodeURIComponent(`owner:${owner}`)}`;
    const heading = own ? 'Links you own' : `Links of ${owner}`;
    const empty = own ? 'You have not made a link yet.' : 'No links.';
    await list(desk, req, res, path, { owner }, { heading, empty, query });
    return;
  }
  const text = query.slice(0, MAX_QUERY).trim();
  const found = await searchLinks(desk.store, text, MAX_FOUND);
  const near = found.length === 0 && /^\S+$/.test(text) ? await nearLinks(desk.store, text, 5) : [];
  const scene = await desk.scene(req, res);
  desk.send(res, searchPage(scene, { query: text, found, near, limit: MAX_FOUND }));
}

async function mine(desk: Desk, req: Request, res: Response): Promise<void> {
  const caller = await desk.caller(req);
  await list(
    desk,
    req,
    res,
    '/.mine',
    { mine: { owner: caller.login, editors: editorNames(caller) } },
    {
      heading: 'My links',
      current: 'mine',
      empty: 'You have not made a link yet, and none was shared with you.',
    },
  );
}

/** `path`: of the list's first page. */
async function list(
  desk: Desk,
  req: Request,
  res: Response,
  path: string,
  query: Omit<ListQuery, 'limit' | 'after'>,
  content: {
    readonly heading: string;
    readonly current?: Section;
    readonly empty: string;
    readonly query?: string;
  },
): Promise<void> {
  const { store } = desk;
  const after = queryOf(req, 'after');
  const isFirst = after === '';
  const [page, total] = await Promise.all([
    listLinks(store, { ...query, limit: PAGE_ROWS, ...(!isFirst && { after }) }),
    countLinks(store, query),
  ]);
  const next =
    page.next === undefined
      ? undefined
      : `${path}${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(page.next)}`;
  const scene = await desk.scene(req, res);
  const places = { total, next, first: isFirst ? undefined : path };
  desk.send(res, listPage(scene, page.links, { ...content, ...places }));
}

/** OpenSearch Suggestions 1.1: what was typed, names, what they are, where they lead. */
async function suggest(desk: Desk, req: Request, res: Response): Promise<void> {
  const query = queryOf(req, 'q').slice(0, MAX_QUERY);
  // Parts of names are found from three letters on.
  const find = [...query.trim()].length < 3 ? suggestLinks : searchLinks;
  const links = await find(desk.store, query.trim(), MAX_SUGGESTED);
  const about = ({ link }: CountedLink): string => link.description.split('\n')[0] || link.long;
  const origin = `http://${req.headers.host ?? desk.options.hostname}/`;
  const answer = [
    query,
    links.map(({ link }) => link.short),
    links.map(about),
    links.map(({ link }) => `${origin}${encodeURIComponent(link.short)}`),
  ];
  res.setHeader('Content-Type', 'application/x-suggestions+json; charset=utf-8');
  res.end(JSON.stringify(answer));
}

/** Upper and lower case of the Latin letters are one for searching. */
function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
