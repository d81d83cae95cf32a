// What people and programs do with golink, one request after the other, and everything that is answered: to be compared
// between databases.
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createGolink, type Golink } from '@cove/golink';
import type { WhoIs } from '@cove/tsnet';

/** What was asked and what came back, secrets and moments of the real clock left out. */
export type Exchange = readonly [asked: string, answered: unknown];

const START = Date.parse('2026-03-01T12:00:00Z');
const DAY_MS = 86_400_000;
const MANY = 260;
const PAGE = { accept: 'text/html' };

const who = (login: string, admin: boolean): WhoIs => ({
  node: {
    ...{ id: 7, stableId: 'n7', name: 'laptop.tail.example', computedName: 'laptop' },
    ...{ addresses: ['100.64.0.7'], tags: [] },
  },
  user: { id: 7, loginName: login, displayName: login },
  capabilities: { 'tailscale.com/cap/golink': [{ admin, groups: ['eng'] }] },
});

export class Scenario implements AsyncDisposable {
  readonly records: Exchange[] = [];
  readonly #golink: Golink;
  readonly #server: ReturnType<typeof createServer>;
  readonly #clock: { now: number; login: string; admin: boolean };
  readonly #port: number;

  private constructor(
    golink: Golink,
    server: ReturnType<typeof createServer>,
    clock: { now: number; login: string; admin: boolean },
  ) {
    this.#golink = golink;
    this.#server = server;
    this.#clock = clock;
    this.#port = (server.address() as AddressInfo).port;
  }

  static async start(database: string): Promise<Scenario> {
    const clock = { now: START, login: 'mia@example.com', admin: false };
    const golink = await createGolink({
      database,
      identify: async () => who(clock.login, clock.admin),
      countVisitors: true,
      now: () => clock.now,
    });
    const server = createServer(golink.handler);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Scenario(golink, server, clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#golink.close();
  }

  #record(asked: string, answered: unknown): void {
    this.records.push([asked, answered]);
  }

  async #ask(
    method: string,
    path: string,
    headers: { readonly [name: string]: string } = {},
    body = '',
  ): Promise<string> {
    const { status, location, etag, answer } = await this.#send(method, path, headers, body);
    // What stands beside a name nobody made may be a second old.
    const whole =
      status === 404 ? answer.replace(/<section[^>]* aria-labelledby="popular".*/s, '') : answer;
    const shown = whole
      .replace(/name="xsrf" value="[^"]*"/g, 'name="xsrf"')
      .replace(/golink_[0-9a-f]{12}_[\w-]{32}/g, 'TOKEN')
      .replace(/\b[0-9a-f]{12}\b/g, 'ID')
      .replaceAll(String(this.#port), 'PORT')
      .replace(/^.*\b(?:process|nodejs)_.*$/gm, '');
    const from = this.#clock.login === 'mia@example.com' ? '' : `${this.#clock.login}: `;
    const said = body === '' ? '' : ` ${body.slice(0, 200)}`;
    this.#record(`${from}${method} ${path}${said}`, [status, location, etag, shown.split('\n')]);
    return answer;
  }

  #send(
    method: string,
    path: string,
    headers: { readonly [name: string]: string },
    body: string,
  ): Promise<{
    readonly status: number;
    readonly location: string | undefined;
    readonly etag: string | undefined;
    readonly answer: string;
  }> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.#port, agent: false, timeout: 20_000 };
      const req = request({ ...options, method, path, headers }, (res) => {
        text(res).then(
          (answer) =>
            resolve({
              ...{ status: res.statusCode!, location: res.headers.location, answer },
              etag: res.headers.etag,
            }),
          reject,
        );
      });
      req.on('error', reject);
      req.on('timeout', () => req.destroy(new Error(`${method} ${path} is not answered`)));
      req.end(body);
    });
  }

  async #api(method: string, path: string, body?: unknown, ifMatch?: string): Promise<unknown> {
    const answer = await this.#ask(
      method,
      `/.api/v1${path}`,
      {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      body === undefined ? '' : JSON.stringify(body),
    );
    return answer === '' ? undefined : JSON.parse(answer);
  }

  #create(short: string, more: { readonly [name: string]: unknown } = {}): Promise<unknown> {
    return this.#api('POST', '/links', { short, long: `http://wiki.example/${short}`, ...more });
  }

  async #visit(...paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.#ask('GET', path);
    await this.#count();
  }

  /** On another day, because figures that took long are kept for a while. */
  async #figures(): Promise<void> {
    this.#clock.now += DAY_MS;
    await this.#pages('/.stats');
  }

  /** Writes the clicks, rather than some seconds later. */
  async #count(): Promise<void> {
    await this.#send('GET', '/.export-stats', {}, '');
  }

  async #pages(...paths: readonly string[]): Promise<void> {
    for (const path of paths) await this.#ask('GET', path, PAGE);
  }

  async run(): Promise<void> {
    await this.#make();
    await this.#change();
    await this.#follow();
    await this.#listAndSearch();
    await this.#import();
    await this.#many();
    await this.#goBack();
    await this.#manage();
    await this.#strange();
  }

  async #make(): Promise<void> {
    // Names and logins that languages sort in another order than bytes.
    for (const short of ['b', 'A', '_x', 'a.b', 'ab', 'a-c', 'Z9', 'z1', 'Road-Map', 'roadwork'])
      await this.#create(short);
    await this.#create('text', {
      ...{ description: 'Ünïcode 😀 100% of\nit_"\\ \u2028', tags: ['Ops', 'b-c', 'B_d', 'ä'] },
      ...{ editors: ['Zoe@example.com', 'group:eng', 'ann@example.com'] },
      ...{ aliases: ['t1', 'T-2'], openEdit: true, append: 'path' },
    });
    await this.#create('big', {
      long: `http://wiki.example/${'x'.repeat(16_000)}`,
      description: 'd'.repeat(1_000),
      ...Object.fromEntries(
        ['tags', 'editors'].map((field) => [
          field,
          Array.from({ length: 50 }, (_, i) => scrambled(i, 190)),
        ]),
      ),
      aliases: Array.from({ length: 50 }, (_, i) => scrambled(i + 100, 190)),
    });
    await this.#create(scrambled(999, 200));
    await this.#create('halves', { description: 'a\ud800b', tags: ['c\udc00d'] });
    await this.#create('nothing', { description: 'a\0b' });
    await this.#create('nothing', { tags: ['a\0b'] });
    await this.#create('nothing', { long: 'http://x/\0' });
    await this.#create('A');
    await this.#create('T2');
    await this.#create('other', { aliases: ['t-1'] });
    this.#clock.login = 'Äda@example.com';
    await this.#create('of-aeda', { tags: ['ops'] });
    this.#clock.login = 'MIA@example.com';
    await this.#create('of-MIA');
    this.#clock.login = 'xmia@example.com.net';
    await this.#create('of-xmia');
    this.#clock.login = 'mia@example.com';
    const form = {
      ...{ 'sec-golink': '1', 'content-type': 'application/x-www-form-urlencoded' },
    };
    for (const body of [
      ...['short=form&long=http%3A%2F%2Fform%2F', 'short=Form&long=http%3A%2F%2Fform%2F2'],
      ...['short=t1&long=http%3A%2F%2Fform%2F', 'short=of-MIA&long=http%3A%2F%2Fform%2F'],
      'short=nul&long=http%3A%2F%2Fform%2F%00',
      `short=${scrambled(3, 3_000)}&long=http%3A%2F%2Fform%2F`,
      `short=x&owner=${scrambled(3, 3_000)}&long=http%3A%2F%2Fform%2F`,
    ])
      await this.#ask('POST', '/', form, body);
  }

  async #change(): Promise<void> {
    this.#clock.now += DAY_MS;
    await this.#api('PATCH', '/links/b', { long: 'http://b/2', tags: ['ops'] });
    await this.#api('PATCH', '/links/b', { long: 'http://b/3' }, '"1"');
    await this.#api('PATCH', '/links/b', { long: 'http://b/3' }, '"2"');
    await this.#api('PATCH', '/links/ab', { short: 'abc', keepOldName: true });
    await this.#api('PATCH', '/links/ab', { short: 'a.b' });
    await this.#api('PATCH', '/links/text', { aliases: ['T-2', 'abc'] });
    await this.#api('PATCH', '/links/text', { aliases: ['T-2', 't3'] });
    await this.#api('PATCH', '/links/of-aeda', { long: 'http://x/' });
    await this.#api('PATCH', '/links/none', { long: 'http://x/' });
    await this.#api('DELETE', '/links/z1', undefined, '"7"');
    for (const short of ['z1', 'Z9', 'form']) {
      this.#clock.now += 1_000;
      await this.#api('DELETE', `/links/${short}`);
    }
    await this.#create('z-1', { description: 'again' });
    await this.#api('PATCH', '/links/abc', { short: 'form' });
  }

  async #follow(): Promise<void> {
    await this.#visit('/b', '/B/x?q=1', '/b).', '/T2/x?y', '/ab', '/a-b', '/z1', '/_x', '/b+');
    await this.#visit('/road-map', '/ROADMAP', '/a.b', '/A', '/A', '/a', '/of-mia', '/form');
    // Near misses, and names that are hardly names.
    for (const accept of ['text/html', 'application/json', '*/*'])
      for (const name of ['raodmap', 'roadmap2027', 'road', 'tt1', 'aab', 'Z9', 'nope'])
        await this.#ask('GET', `/${name}`, { accept });
    await this.#pages('/%C3%A4b', '/%00', '/b%00', '/b%ff', '/ba%ED%A0%80', `/${'n'.repeat(300)}`);
    await this.#visit('/%00', '/b%00', '/b%ff/x', '/a%00b%2F', '/wiki', '/Wiki', '/_iki', '/wi-ki');
    await this.#visit('/.export-stats', '/.metrics', '/.healthz');
    this.#clock.now += 3 * DAY_MS;
    await this.#visit('/b', '/text', '/nope', '/wiki');
    await this.#api('PATCH', '/links/of-mia', { short: 'of-me' });
    await this.#visit('/.export-stats');
    await this.#api('GET', '/stats');
    await this.#api('GET', '/stats?step=hour&days=3650');
    await this.#api('GET', '/links/t3/stats?days=1');
    await this.#api('GET', '/missing');
    await this.#api('GET', '/missing?days=1&limit=1');
  }

  async #listAndSearch(): Promise<void> {
    for (const order of ['short', 'clicks', 'edited'])
      for (let after = ''; ; ) {
        const page = (await this.#api('GET', `/links?limit=4&order=${order}${after}`)) as {
          next?: string;
        };
        if (page.next === undefined) break;
        after = `&after=${page.next}`;
      }
    const cursor = (...place: unknown[]): string =>
      Buffer.from(JSON.stringify(place)).toString('base64url');
    for (const [order, ...place] of [
      ...[['clicks', 1.5, 'b'] as const, ['edited', 1e300, 'b'] as const],
      ...[['short', 0, 'b\0'] as const, ['short', 0, 'b\ud800'] as const],
      ...[['clicks', -1e18, ''] as const, ['short', 0, 'x'.repeat(5_000)] as const],
    ])
      await this.#api('GET', `/links?order=${order}&after=${cursor(order, ...place)}`);
    for (const query of [
      ...['owner=MIA@EXAMPLE.COM', 'owner=%C3%84da@example.com', 'owner=%C3%A4DA@example.com'],
      ...['owner=a%00', 'mine=true', 'mine=true&order=clicks', 'tag=ops', 'tag=OPS&order=edited'],
      ...[
        'tag=b_c',
        'tag=b%25',
        'tag=a%00',
        'tag=%C3%84',
        'tag=o',
        'unusedSince=2026-03-02T12:00:00Z',
      ],
      ...['unusedSince=0001-01-01T00:00:00Z', 'unusedSince=9999-12-31T23:59:59Z&order=clicks'],
    ])
      await this.#api('GET', `/links?${query}`);
    const words = [
      ...['road', 'ROAD', 'map road', 'roadmap', 'ünï', 'ÜNÏ', '😀', '100%', '_', '\\', '"', "'"],
      ...['owner:mia@example.com', 'owner:MIA@example.com', 'owner:mia', 'tag:ops', 'tag:OPS b'],
      ...['owner:Äda@example.com', 'owner:äda@example.com', 'owner:', 'tag:', 'a', 'z', 'ä', 'Ä'],
      ...[
        't3',
        'group:eng',
        'zoe@',
        'x'.repeat(200),
        'a\0b',
        '\0',
        ' ',
        'wiki.example a b',
        'wi ki',
      ],
      ...[
        '100% of',
        'it_',
        'i__',
        'c�d',
        'again -',
        '* OR *',
        'NEAR(a b)',
        'a.b',
        'link:x',
        'Aeda',
      ],
    ];
    for (const one of words) {
      const q = encodeURIComponent(one);
      await this.#api('GET', `/links?q=${q}`);
      await this.#api('GET', `/suggest?q=${q}`);
      await this.#ask('GET', `/.suggest?q=${q}`);
      await this.#ask('GET', `/.search?q=${q}`, PAGE);
    }
    await this.#visit(
      '/.search?q=owner:mia@example.com',
      '/.search?q=owner:a%00',
      '/.mine',
      '/.all',
    );
    await this.#pages('/', '/.all', '/.mine', '/.tags', '/.tags/ops', '/.tags/%00', '/.stats');
    await this.#pages(
      '/.detail/b',
      '/.detail/text',
      '/.detail/big',
      '/.detail/z-1',
      '/.detail/%00',
    );
    await this.#pages('/.history', '/.history/b', '/.history/form', '/.history/Z9', '/.deleted');
    await this.#pages('/.history/%00', '/.all?after=x', `/.all?after=${cursor('short', 0, '\0')}`);
  }

  async #import(): Promise<void> {
    const line = (fields: object): string => `${JSON.stringify(fields)}\n`;
    const snapshot = [
      ...['b', 'B-', 'new', 'N-EW', 'T-2', 'Z9'].map((Short) => ({
        Short,
        Long: `http://${Short}/`,
      })),
      { Short: 'of-aeda', Long: 'http://wiki.example/of-aeda', Owner: 'Äda@example.com' },
      {
        Short: 'old',
        Long: 'slack://x',
        Created: '0001-01-01T00:00:00Z',
        LastEdit: '1999-01-02T00:00:00+14:00',
      },
      {
        Short: 'late',
        Long: 'http://x/',
        LastEdit: '9999-12-31T23:59:59Z',
        Owner: 'o'.repeat(5_000),
      },
      { Short: 'long', Long: `http://x/${scrambled(1, 100_000)}`, Owner: scrambled(2, 9_000) },
      { Short: scrambled(5, 9_000), Long: 'http://x/' },
      { Short: 'half', Long: 'http://x/\ud800', Owner: 'o\udc00' },
      { Short: 'nul', Long: 'http://x/\0', Owner: 'o' },
      { Short: 'nul2', Long: 'http://x/', Owner: 'o\0' },
      { Short: 'nul3', Long: 'http://x/', Owner: 'o', Description: 'a\0b' },
      {
        Short: 'many',
        Long: 'http://x/',
        Aliases: ['new', 'm1', 'B', 'M-1'],
        Tags: ['Ops'],
        Editors: ['e@x'],
      },
      { Short: 'm2', Long: '/many', AliasOf: 'many' },
      { Short: 'm1', Long: '/many', AliasOf: 'many' },
      {
        Stats: [
          ['new', 1_600_000_000, 5],
          ['new', 1_600_000_000, 2],
          ['none', 1, 1],
          ['b', 2, 9],
        ],
      },
      {
        Stats: [
          ['new', 1_600_000_060, 4_000_000_000],
          ['half', 0, 1],
          ['new', -5, 1],
          ['new', 1.5, 1],
        ],
      },
      {
        Stats: [
          ['new', 1_600_000_000, 3],
          ['new\0', 5, 3],
          ['old', 9_007_199_254_740_991, 1],
        ],
      },
      { Short: 'a/b', Long: 'http://x/' },
    ].map(line);
    for (const options of [{ dryRun: true }, {}, {}])
      this.#record(
        `import ${JSON.stringify(options)}`,
        await this.#golink
          .importSnapshot(
            (async function* () {
              yield* snapshot;
              yield 'no JSON\n';
            })(),
            options,
          )
          .catch((error: Error) => error.message),
      );
    for (const stats of [false, true]) {
      const stream = new PassThrough();
      const [told] = await Promise.all([text(stream), this.#golink.exportTo(stream, { stats })]);
      this.#record(`export ${stats}`, told.split('\n'));
    }
    await this.#visit('/.export', '/.export-stats', '/new', '/m2', '/m1', '/half', '/old');
    for (const argument of ['go/b/x', 'm2', 'http://go/many', 'none', 'nul', 'go/%00', 'late'])
      this.#record(
        `resolve ${argument}`,
        await this.#golink.resolve(argument).catch((error: Error) => error.message),
      );
    await this.#api('GET', '/links?limit=1000');
    await this.#api('GET', '/links?limit=1000&order=clicks');
    await this.#api('GET', '/links/new');
    await this.#pages('/', '/.all');
    await this.#figures();
    await this.#api('GET', '/stats?days=3650');
  }

  /** More links than a part of a flush has, and more than a search takes. */
  async #many(): Promise<void> {
    const lines = Array.from({ length: MANY }, (_, i) =>
      JSON.stringify({
        Short: `many-${(i * 97) % MANY}`,
        Long: `/page/${i % 7}`,
        Owner: `${i % 3}@x`,
      }),
    );
    const report = await this.#golink.importSnapshot(
      (async function* () {
        yield lines.join('\n');
      })(),
    );
    this.#record('import of many', report);
    for (let i = 0; i < MANY; i += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, j) => this.#send('GET', `/many${i + j}?${i}`, {}, '')),
      );
    for (let i = 0; i < MANY; i += 9) await this.#send('GET', `/many${i}`, {}, '');
    await this.#count();
    for (const q of ['many', 'page/3', 'many+1@x', '2@', 'ny'])
      await this.#api('GET', `/links?limit=20&q=${q}`);
    await this.#api('GET', '/suggest?q=many1');
    await this.#figures();
    await this.#pages('/', '/.search?q=many', '/mnay7', '/many777', '/man');
    await this.#visit('/.export-stats');
    await this.#api('GET', '/links?limit=20&order=clicks');
  }

  async #goBack(): Promise<void> {
    this.#clock.now += DAY_MS;
    for (const path of ['/changes', '/changes?limit=3&before=9', '/deleted', '/links/b/history'])
      await this.#api('GET', path);
    for (const path of ['/links/form/history?limit=2', '/links/Z9/history', '/links/none/history'])
      await this.#api('GET', path);
    for (const before of ['-1', '0', '999999999999999'])
      await this.#api('GET', `/changes?before=${before}`);
    await this.#pages('/.history?before=1.5', '/.history?before=9007199254740991');
    const changes = (await this.#api('GET', '/changes?limit=1000')) as {
      items: { seq: number; kind: string; before?: { short: string }; after?: { short: string } }[];
    };
    // Of each kind the first and the last.
    const kinds = new Map<string, number[]>();
    const names = new Map<number, string>();
    for (const { seq, kind, before, after } of changes.items) {
      names.set(seq, (after ?? before)!.short);
      const some = kinds.get(kind) ?? [];
      kinds.set(kind, [some[0] ?? seq, seq]);
    }
    for (const seq of [...[...kinds.values()].flat(), 0, -1, Number.MAX_SAFE_INTEGER])
      await this.#api('POST', `/links/${names.get(seq) ?? 'b'}/restore`, { seq });
    await this.#api('POST', '/links/b/restore', { seq: 1e300 });
    await this.#pages('/.rewind', '/.rewind?at=2026-03-01T18:00');
    await this.#api('POST', '/restore', { at: '2026-03-01T18:00:00Z', dryRun: true });
    this.#clock.admin = true;
    for (const at of [
      '2026-03-04T18:00',
      '2026-03-01T18:00',
      '0001-01-01T00:00',
      '2999-01-01T00:00',
    ])
      await this.#pages(`/.rewind?at=${at}`);
    for (const dryRun of [true, false]) {
      await this.#api('POST', '/restore', { at: '2026-03-01T18:00:00Z', dryRun });
      await this.#api('GET', '/links?limit=1000');
    }
    this.#clock.now += 60_000;
    await this.#api('POST', '/restore', { at: '2026-03-05T13:00:00Z' });
    await this.#api('GET', '/links?limit=1000&order=edited');
    await this.#api('GET', '/changes?limit=1000');
    await this.#pages('/', '/.deleted', '/.history');
    await this.#visit('/.export', '/b', '/form', '/z1');
    this.#clock.admin = false;
  }

  async #manage(): Promise<void> {
    const forever = { name: 'ci', scopes: ['read', 'write'] };
    for (const body of [
      ...[forever, { name: 'x\0', scopes: ['read'] }, { name: 'y\ud800', scopes: ['read'] }],
      { name: 'z', scopes: ['read'], expires: '9999-12-31T23:59:59Z' },
    ]) {
      this.#clock.now += 1_000;
      await this.#api('POST', '/tokens', body);
    }
    this.#clock.now += 1_000;
    await this.#api('GET', '/tokens');
    const page = await this.#ask('GET', '/.tokens', PAGE);
    const xsrf = /name="xsrf" value="([^"]*)"/.exec(page)![1]!;
    const fields = new URLSearchParams({ xsrf, name: 'form\0', read: 'on', days: '1' }).toString();
    const form = { ...PAGE, 'content-type': 'application/x-www-form-urlencoded' };
    this.#clock.now += 1_000;
    for (const path of ['/.tokens', '/.tokens/%00/revoke'])
      this.#record(path, await this.#send('POST', path, form, fields).then(({ status }) => status));
    await this.#api('DELETE', '/tokens/none');
    await this.#api('DELETE', '/tokens/%00');
    await this.#api('GET', '/me');
    const issued = JSON.parse(
      (
        await this.#send(
          'POST',
          '/.api/v1/tokens',
          { 'content-type': 'application/json' },
          JSON.stringify(forever),
        )
      ).answer,
    ) as { text: string; token: { id: string } };
    const bearer = { authorization: `Bearer ${issued.text}` };
    await this.#ask('GET', '/.api/v1/me', bearer);
    await this.#ask('GET', '/.api/v1/links?q=b', bearer);
    await this.#send('DELETE', `/.api/v1/tokens/${issued.token.id}`, {}, '');
    await this.#ask('GET', '/.api/v1/me', bearer);
    await this.#pages('/.tokens');
  }

  /** Names that no link can have, wherever one may be asked for. */
  async #strange(): Promise<void> {
    for (const name of [
      '%00',
      '%ED%A0%80',
      '%F0%9F%98%80',
      '%25',
      '%5C',
      '%27',
      'x'.repeat(3_000),
    ]) {
      for (const path of [`/links/${name}`, `/links/${name}/history`, `/links/${name}/stats`])
        await this.#api('GET', path);
      await this.#api('PATCH', `/links/${name}`, { long: 'http://x/' });
      await this.#api('DELETE', `/links/${name}`);
      await this.#pages(`/${name}`, `/.detail/${name}`, `/.history/${name}`, `/?short=${name}`);
      await this.#pages(`/.tags/${name}`, `/.search?q=${name}`, `/.suggest?q=${name}`);
    }
    await this.#visit('/.export-stats', '/.healthz');
    await this.#api('GET', '/missing');
  }
}

/** Text of so many letters that does not compress. */
function scrambled(seed: number, length: number): string {
  let state = seed + 1;
  let made = '';
  while (made.length < length) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    made += (state >>> 8).toString(36);
  }
  return made.slice(0, length);
}
