// golink in a real browser: creating, editing and following a link without JavaScript, then every page looked at on a
// desktop and a phone, light and dark. Screenshots go to the folder COVE_SCREENSHOTS names; 1 there renews those in
// docs/images.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { createGolink, type Golink } from '@cove/golink';
import type { WhoIs } from '@cove/tsnet';
import type { Locator, Page } from 'playwright-core';
import { Chromium, findChromium, NO_CHROMIUM } from './chromium.ts';

const person = (login: string, name: string): WhoIs => ({
  node: {
    id: 1,
    stableId: 'n1',
    name: 'laptop.tail.example',
    computedName: 'laptop',
    addresses: ['100.64.0.1'],
    tags: [],
  },
  user: { id: 1, loginName: login, displayName: name },
  capabilities: { 'tailscale.com/cap/golink': [{ admin: true }] },
});

/** Visits are spread over the days before. */
let now = Date.now();

const LINKS: readonly [short: string, long: string, owner: string, visits: number][] = [
  ['wiki', 'https://wiki.example.com/', 'mia@example.com', 40],
  ['standup', 'https://meet.example.com/daily-standup', 'priya@example.com', 23],
  [
    'search',
    'https://search.example.com/{{if .Path}}?q={{QueryEscape .Path}}{{end}}',
    'priya@example.com',
    17,
  ],
  ['Release-Notes', 'https://docs.example.com/d/release-notes/latest', 'jonas@example.com', 9],
  ['me', '/who/{{.User}}', 'a.person.with.a.long.name@subsidiary.example.com', 4],
  ['long', `https://example.com/${'a-very-long-path/'.repeat(20)}`, 'mia@example.com', 1],
  ['holidays', 'https://hr.example.com/calendar?view=year&team=all', 'mia@example.com', 0],
];

const executable = findChromium();
const limit = { timeout: 120_000 };
const options = executable === undefined ? { ...limit, skip: NO_CHROMIUM } : limit;
let golink: Golink;
let browser: Chromium;
let origin: string;
let stop: () => void = () => {};

before(async () => {
  if (executable === undefined) return;
  browser = new Chromium(executable);
  const caller = person('mia@example.com', 'Mia Lindqvist');
  golink = await createGolink({
    database: ':memory:',
    identify: async () => caller,
    now: () => now,
  });
  const server = createServer(golink.handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  stop = () => {
    server.closeAllConnections();
    server.close();
  };
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lines = LINKS.map(([Short, Long, Owner], i) => {
    const time = new Date(Date.UTC(2026, 9, 1 + i * 3)).toISOString();
    return JSON.stringify({ Short, Long, Owner, Created: time, LastEdit: time });
  });
  await golink.importSnapshot(
    (async function* () {
      yield lines.join('\n');
    })(),
  );
  const today = now;
  for (let day = 24; day >= 0; day--) {
    now = today - day * 86_400_000;
    for (const [short, , , visits] of LINKS)
      for (let i = day % 7; i < visits; i += 5 + (day % 5) * 3) await leadsTo(short);
    // Looking writes what was counted.
    await fetch(`${origin}/.stats`);
  }
  now = today;
  for (const name of ['offsite', 'payslip', 'payslip']) await leadsTo(name);
}, limit);

after(async () => {
  await browser?.close();
  stop();
  await golink?.close();
}, limit);

test('a person makes, follows, edits and deletes a link with forms alone', options, async () => {
  const page = await browser.open({ javaScriptEnabled: false });
  const context = page.context();
  await page.goto(origin);
  assert.match(await textOf(page.locator('header')), /Mia Lindqvist\s*mia@example\.com/);
  await page.getByLabel('Name').fill('Road-Map');
  await page.getByLabel('Destination').fill('https://docs.example.com/roadmap');
  await page.getByRole('button', { name: 'Create link' }).click();
  assert.match(await textOf(page.locator('main')), /go\/Road-Map[\s\S]*It works right now/);

  const followed = await fetch(`${origin}/roadmap/q3?view=all`, { redirect: 'manual' });
  assert.equal(followed.status, 302);
  assert.equal(followed.headers.get('location'), 'https://docs.example.com/roadmap/q3?view=all');

  await page.getByRole('link', { name: 'Details' }).click();
  assert.match(await textOf(page.locator('.facts')), /mia@example\.com/);
  await page
    .getByLabel('Destination')
    .fill('https://docs.example.com/{{with .Path}}r/{{.}}{{end}}');
  await page.getByRole('button', { name: 'Save changes' }).click();
  assert.match(await textOf(page.locator('main')), /From now on it leads here/);
  const edited = await fetch(`${origin}/ROADMAP/q3`, { redirect: 'manual' });
  assert.equal(edited.headers.get('location'), 'https://docs.example.com/r/q3');

  // A template that does not parse: the form again, with what was typed.
  await page.goto(`${origin}/nobody-made-this`);
  assert.equal(await page.getByLabel('Name').inputValue(), 'nobody-made-this');
  await page.getByLabel('Destination').fill('https://x/{{oops');
  await page.getByRole('button', { name: 'Create link' }).click();
  assert.match(await textOf(page.getByRole('alert')), /line 1, column/);
  assert.equal(await page.getByLabel('Destination').inputValue(), 'https://x/{{oops');

  // A taken name is never overwritten.
  await page.goto(origin);
  await page.getByLabel('Name').fill('roadmap');
  await page.getByLabel('Destination').fill('https://elsewhere.example.com/');
  await page.getByRole('button', { name: 'Create link' }).click();
  assert.match(await textOf(page.getByRole('status')), /exists already/);

  await page.getByText('Delete this link').click();
  await page.getByRole('button', { name: 'Delete go/Road-Map' }).click();
  assert.match(await textOf(page.locator('main')), /It is gone, after 2 clicks/);
  assert.equal((await fetch(`${origin}/roadmap`, { redirect: 'manual' })).status, 404);
  await context.close();
});

test(
  'a link is renamed, gone back to, deleted and brought back with forms alone',
  options,
  async () => {
    const page = await browser.open({ javaScriptEnabled: false });
    const context = page.context();
    await make('Team-Plan', 'https://docs.example.com/plan-2026');
    await page.goto(`${origin}/.detail/Team-Plan`);
    await page.getByLabel('Name', { exact: true }).fill('plans');
    await page.getByLabel('Destination').fill('https://docs.example.com/plan-2027');
    await page.getByLabel('What it is for').fill('Where the team is going');
    await page.getByLabel('Tags').fill('planning team');
    await page.getByText('Owner, editors, other names').click();
    await page.getByLabel('Editors').fill('jonas@example.com group:eng');
    await page.getByRole('button', { name: 'Save changes' }).click();
    assert.match(await textOf(page.getByRole('status')), /Saved/);
    assert.equal(new URL(page.url()).pathname, '/.detail/plans');
    assert.match(await textOf(page.locator('main')), /also go\/Team-Plan/);
    assert.equal(await leadsTo('teamplan'), 'https://docs.example.com/plan-2027');
    assert.match(await page.locator('.log del').first().innerText(), /Team-Plan/);

    // Somebody else saves while the form is open.
    await page.getByLabel('Destination').fill('https://docs.example.com/mine');
    const other = await context.newPage();
    await other.goto(`${origin}/.detail/plans`);
    await other.getByLabel('What it is for').fill('Something else');
    await other.getByRole('button', { name: 'Save changes' }).click();
    await other.close();
    await page.getByRole('button', { name: 'Save changes' }).click();
    assert.match(await textOf(page.getByRole('alert')), /somebody changed this link/);
    assert.equal(
      await page.getByLabel('Destination').inputValue(),
      'https://docs.example.com/mine',
    );
    assert.equal(await leadsTo('plans'), 'https://docs.example.com/plan-2027');

    // The oldest change is the last in the list.
    await page.goto(`${origin}/.history/plans`);
    await page
      .getByRole('button', { name: /Go back to this/ })
      .last()
      .click();
    assert.match(await textOf(page.getByRole('status')), /Restored/);
    assert.equal(await leadsTo('team-plan'), 'https://docs.example.com/plan-2026');

    await page.getByText('Delete this link').click();
    await page.getByRole('button', { name: 'Delete go/Team-Plan' }).click();
    assert.equal(await leadsTo('team-plan'), null);
    await page.getByRole('button', { name: 'Undo' }).click();
    assert.equal(await leadsTo('team-plan'), 'https://docs.example.com/plan-2026');
    await page.getByText('Delete this link').click();
    await page.getByRole('button', { name: 'Delete go/Team-Plan' }).click();
    await page.getByRole('link', { name: 'deleted links' }).first().click();
    await page.getByRole('button', { name: 'Bring back go/Team-Plan' }).click();
    assert.equal(await leadsTo('team-plan'), 'https://docs.example.com/plan-2026');
    await context.close();
  },
);

test('search, suggestions and figures lead to links', options, async () => {
  const page = await browser.open({ javaScriptEnabled: false });
  const context = page.context();
  await page.goto(origin);
  await page.getByRole('searchbox', { name: 'Search links' }).fill('daily stand');
  await page.getByRole('button', { name: 'Search' }).click();
  assert.match(await textOf(page.getByRole('table')), /go\/standup/);
  await page.goto(`${origin}/holydays`);
  assert.match(await textOf(page.locator('main')), /Did you mean\s*go\/holidays/);
  await page.goto(`${origin}/.stats`);
  assert.match(await textOf(page.locator('main')), /Most used, 7 days[\s\S]*go\/wiki/);
  const chart = page.getByRole('img', { name: /clicks in the last 30 days/ });
  assert.ok((await chart.boundingBox())!.width > 200);
  await page.getByRole('link', { name: /Make it.*holydays/ }).click();
  assert.equal(await page.getByLabel('Name').inputValue(), 'holydays');
  await context.close();
});

test('a link is made and edited with the keyboard alone', options, async () => {
  const page = await browser.open({});
  const context = page.context();
  await page.goto(origin);
  // The cursor stands in the first field.
  await page.locator('#short:focus').waitFor();
  await page.keyboard.type('keys');
  await page.keyboard.press('Tab');
  await page.keyboard.type('https://keys.example.com/');
  await page.keyboard.press('Enter');
  await page.getByText('It works right now').waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate('document.activeElement.className'), 'skip');
  for (let i = 0; i < 30 && (await focused(page)) !== 'Details'; i++)
    await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Edit' }).waitFor();
  for (let i = 0; i < 30 && (await page.evaluate('document.activeElement.id')) !== 'long'; i++) {
    await page.keyboard.press('Tab');
    const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
    assert.notEqual(outline, 'none', 'what has the focus is outlined');
  }
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.type('https://keys.example.com/new');
  for (let i = 0; i < 30 && (await focused(page)) !== 'Save changes'; i++)
    await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('status').waitFor();
  assert.equal(await leadsTo('keys'), 'https://keys.example.com/new');
  await context.close();
});

test(
  'a page has a heading, labels for its fields, and a skip link that shows when focused',
  options,
  async () => {
    const page = await browser.open({ viewport: { width: 390, height: 844 } });
    const context = page.context();
    for (const path of [...Object.values(PAGES), '/.mine', '/.tags', '/.rewind']) {
      await page.goto(origin + path);
      assert.equal(await page.locator('h1').count(), 1, path);
      for (const field of await page.locator('input:not([type=hidden]), textarea, select').all()) {
        const id = await field.getAttribute('id');
        assert.equal(
          await page.locator(`label[for="${id}"]`).count(),
          1,
          `${path}: label of ${id}`,
        );
      }
      const skipLink = page.locator('.skip');
      await skipLink.focus();
      assert.ok((await skipLink.boundingBox())!.y >= 0, path);
    }
    await context.close();
  },
);

const PAGES: Readonly<Record<string, string>> = {
  home: '/',
  detail: '/.detail/wiki',
  foreign: '/.detail/standup',
  long: '/.detail/long',
  all: '/.all',
  search: '/.search?q=docs',
  changes: '/.history',
  history: '/.history/wiki',
  deleted: '/.deleted',
  stats: '/.stats',
  tokens: '/.tokens',
  rewind: '/.rewind?at=2026-01-01T00:00:00',
  help: '/.help',
  missing: '/holydays',
  problem: '/.nope',
};

for (const scheme of ['light', 'dark'] as const) {
  for (const [device, width, height] of [
    ['desktop', 1280, 800],
    ['phone', 360, 740],
    ['narrow', 320, 640],
  ] as const) {
    test(
      `every page fits a ${device} in ${scheme} and breaks no rule of its own policy`,
      options,
      async () => {
        const page = await browser.open({
          viewport: { width, height },
          colorScheme: scheme,
        });
        const context = page.context();
        const complaints = watch(page);
        for (const [name, path] of Object.entries(PAGES)) {
          await page.goto(origin + path);
          const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
          assert.ok((over as number) <= 0, `${name} is ${over} px too wide`);
          const file = pictureOf(`${name}-${device}-${scheme}`);
          if (file !== undefined) await page.screenshot({ path: file, fullPage: true });
        }
        assert.deepEqual(complaints, []);
        await context.close();
      },
    );
  }
}

const textOf = async (element: Locator): Promise<string> => (await element.textContent()) ?? '';

/** What the browser's console complains about, other than a status a page is meant to have. */
function watch(page: Page): string[] {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of 404/.test(message.text()))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('requestfailed', (request) => {
    // An icon may still be on its way when the next page is opened.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED')
      complaints.push(`not loaded: ${request.url()}`);
  });
  return complaints;
}

async function make(short: string, long: string): Promise<void> {
  const answer = await fetch(origin, {
    method: 'POST',
    headers: { 'sec-golink': '1' },
    body: new URLSearchParams({ short, long }),
  });
  assert.equal(answer.status, 200);
}

async function leadsTo(short: string): Promise<string | null> {
  return (await fetch(`${origin}/${short}`, { redirect: 'manual' })).headers.get('location');
}

const focused = async (page: Page): Promise<string> =>
  String(await page.evaluate('document.activeElement.textContent')).trim();

/** The pictures of the documentation. */
const SHOWN: Readonly<Record<string, string>> = {
  'home-desktop-light': 'home',
  'detail-desktop-light': 'detail',
  'changes-desktop-light': 'changes',
  'search-desktop-light': 'search',
  'stats-desktop-dark': 'stats',
  'detail-phone-dark': 'phone',
  'missing-phone-light': 'missing',
};

const asked = process.env['COVE_SCREENSHOTS'];

/** Where a picture goes; undefined where none is wanted. */
function pictureOf(view: string): string | undefined {
  if (asked === undefined) return undefined;
  const name = asked === '1' ? SHOWN[view] : view;
  const folder = asked === '1' ? resolve(import.meta.dirname, '../../../docs/images') : asked;
  mkdirSync(folder, { recursive: true });
  return name && join(folder, `golink-${name}.png`);
}
