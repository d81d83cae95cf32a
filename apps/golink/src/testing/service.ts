// A golink on loopback for tests, with a caller that tests choose and a clock that they set.
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WhoIs } from '@cove/tsnet';
import { createGolink, type Golink, type GolinkOptions } from '../golink.ts';

export const person = (login: string, admin = false): WhoIs => ({
  node: {
    id: 7,
    stableId: 'n7',
    name: 'laptop.tail.example',
    computedName: 'laptop',
    addresses: ['100.64.0.7'],
    tags: [],
  },
  user: { id: 7, loginName: login, displayName: login.split('@')[0]! },
  capabilities: admin ? { 'tailscale.com/cap/golink': [{ admin: true }] } : {},
});

export const machine = (): WhoIs => ({
  ...person('tagged-devices'),
  node: { ...person('').node, computedName: 'printer', tags: ['tag:printer'] },
});

export interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Service extends AsyncDisposable {
  readonly golink: Golink;
  readonly port: number;
  /** `undefined`: nobody the network knows. An Error: the lookup fails. */
  caller: WhoIs | undefined | Error;
  /** Milliseconds since the epoch. */
  now: number;
  /** Sends the path as it is, byte for byte. */
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  post(
    path: string,
    fields: Record<string, string>,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  send(
    method: string,
    path: string,
    body: string | Uint8Array,
    headers: Record<string, string>,
  ): Promise<Answer>;
  /** The token of the form on a page. */
  token(path: string): Promise<string>;
  /** Saves as a script would. */
  save(short: string, long: string, more?: Record<string, string>): Promise<Answer>;
}

export const BROWSER: Readonly<Record<string, string>> = { accept: 'text/html,*/*;q=0.8' };

export async function startService(options: Partial<GolinkOptions> = {}): Promise<Service> {
  let self: Service;
  const golink = await createGolink({
    database: ':memory:',
    identify: async () => {
      if (self.caller instanceof Error) throw self.caller;
      return self.caller;
    },
    now: () => self?.now ?? 0,
    ...options,
  });
  const server = createServer(golink.handler).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;

  const send: Service['send'] = (method, path, body, headers) =>
    new Promise((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port, method, path, headers, agent: false },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (chunk) => chunks.push(chunk));
          res.on('error', reject);
          res.on('end', () =>
            resolve({
              status: res.statusCode!,
              location: res.headers.location,
              headers: res.headers,
              body: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      req.on('error', reject);
      req.end(body);
    });
  const get: Service['get'] = (path, headers = {}) => send('GET', path, '', headers);
  const post: Service['post'] = (path, fields, headers = {}) =>
    send('POST', path, new URLSearchParams(fields).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
      ...headers,
    });
  self = {
    ...{ golink, port, get, post, send },
    caller: person('foo@example.com'),
    now: Date.parse('2022-06-02T01:02:03Z'),
    token: async (path) =>
      /name="xsrf" value="([^"]+)"/.exec((await get(path, BROWSER)).body)?.[1] ?? 'no token',
    save: (short, long, more = {}) => post('/', { short, long, ...more }, { 'sec-golink': '1' }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await golink.close();
    },
  };
  return self;
}
