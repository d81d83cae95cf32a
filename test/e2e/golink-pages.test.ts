// golink in a real browser: creating, editing and following a link without JavaScript, then every page looked at on a
// desktop and a phone, light and dark. Screenshots go to COVE_SCREENSHOTS, or to a folder in the temporary directory.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createGolink, type Golink } from '@cove/golink';
import type { WhoIs } from '@cove/tsnet';
import type { Browser, Locator, Page } from 'playwright-core';
import { findChromium, NO_CHROMIUM, startChromium } from './chromium.ts';

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
  capabilities: {},
});

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
const skip = executable === undefined ? { skip: NO_CHROMIUM } : {};
let golink: Golink;
let browser: Browser;
let origin: string;
let stop: () => void = () => {};

before(async () => {
  if (executable === undefined) return;
  const caller = person('mia@example.com', 'Mia Lindqvist');
  golink = await createGolink({ database: ':memory:', identify: async () => caller });
  const server = createServer(golink.handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
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
  for (const [short, , , visits] of LINKS)
    for (let i = 0; i < visits; i++) await fetch(`${origin}/${short}`, { redirect: 'manual' });
  browser = await startChromium(executable);
  stop = () => {
    server.closeAllConnections();
    server.close();
  };
});

after(async () => {
  await browser?.close();
  stop();
  await golink?.close();
});

test('a person makes, follows, edits and deletes a link with forms alone', skip, async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
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
  'a page has a heading, labels for its fields, and a skip link that shows when focused',
  skip,
  async () => {
    const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
    const page = await context.newPage();
    for (const path of ['/', '/.detail/wiki', '/.all', '/.help', '/.nope']) {
      await page.goto(origin + path);
      assert.equal(await page.locator('h1').count(), 1, path);
      for (const field of await page.locator('input:not([type=hidden]), textarea').all()) {
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
  help: '/.help',
  missing: '/offsite-2027',
  problem: '/.nope',
};

for (const scheme of ['light', 'dark'] as const) {
  for (const [device, width, height] of [
    ['desktop', 1280, 800],
    ['phone', 390, 844],
    ['narrow', 320, 640],
  ] as const) {
    test(
      `every page fits a ${device} in ${scheme} and breaks no rule of its own policy`,
      skip,
      async () => {
        const context = await browser.newContext({
          viewport: { width, height },
          colorScheme: scheme,
        });
        const page = await context.newPage();
        const complaints = watch(page);
        for (const [name, path] of Object.entries(PAGES)) {
          await page.goto(origin + path);
          const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
          assert.ok((over as number) <= 0, `${name} is ${over} px too wide`);
          const file = join(folder(), `golink-${name}-${device}-${scheme}.png`);
          await page.screenshot({ path: file, fullPage: device !== 'desktop' });
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
  page.on('requestfailed', (request) => complaints.push(`not loaded: ${request.url()}`));
  return complaints;
}

let made: string | undefined;
function folder(): string {
  const named = process.env['COVE_SCREENSHOTS'];
  made ??= named === undefined ? mkdtempSync(join(tmpdir(), 'cove-screenshots-')) : named;
  mkdirSync(made, { recursive: true });
  return made;
}
