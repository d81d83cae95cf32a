// Layout, identity, assets and forms, through a real http server where bytes matter.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { WhoIs } from '@cove/tsnet';
import { Assets } from './assets.ts';
import { WebError } from './errors.ts';
import { readForm } from './form.ts';
import { html } from './html.ts';
import { Callers, grantsOf, isTagged, stripIdentityHeaders } from './identity.ts';
import { page } from './layout.ts';

const who = (over: Partial<WhoIs> = {}): WhoIs => ({
  node: {
    id: 1,
    stableId: 's1',
    name: 'laptop.tail.example',
    computedName: 'laptop',
    addresses: ['100.64.0.1'],
    tags: [],
  },
  user: { id: 1, loginName: 'mia@example.com', displayName: 'Mia' },
  capabilities: {},
  ...over,
});

async function serving<T>(listener: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('a page names its caller, escaped, with picture or initials; a machine by its name and tags', () => {
  const assets = new Assets('/.static/');
  const render = (caller: WhoIs | undefined): string =>
    page(assets, { title: '<T>', brand: 'go/', caller, main: html`<p>hello</p>` });
  const mia = render(
    who({ user: { id: 1, loginName: 'mia@example.com', displayName: '<b>Mia Lind' } }),
  );
  assert.match(mia, /&lt;b&gt;Mia Lind/);
  assert.match(mia, /mia@example\.com/);
  assert.match(mia, /<title>&lt;T&gt; · go\/<\/title>/);
  const pictured = render(
    who({ user: { id: 1, loginName: 'm', displayName: 'M', profilePicUrl: 'https://pics/x"y' } }),
  );
  assert.match(pictured, /<img class="avatar" src="https:\/\/pics\/x&#34;y"/);
  const machine = render(
    who({
      node: { ...who().node, computedName: 'printer', tags: ['tag:office'] },
      user: { id: 2, loginName: 'tagged-devices', displayName: 'Tagged Devices' },
    }),
  );
  assert.match(machine, /<b>printer<\/b><small>tag:office/);
  assert.match(render(undefined), /Not recognised/);
});

test('headers that claim an identity are gone before a handler can read them', () => {
  const req = {
    headers: {
      'tailscale-user-login': 'root',
      'x-webauth-user': 'root',
      'remote-user': 'root',
      host: 'go',
    },
    headersDistinct: { 'tailscale-user-login': ['root'] },
    rawHeaders: ['Tailscale-User-Login', 'root', 'Host', 'go', 'REMOTE-USER', 'root'],
  } as unknown as IncomingMessage;
  stripIdentityHeaders(req);
  assert.deepEqual(req.headers, { host: 'go' });
  assert.deepEqual(req.headersDistinct, {});
  assert.deepEqual(req.rawHeaders, ['Host', 'go']);
});

test('a caller is looked up once per request, and a lookup that throws at once rejects', async () => {
  let lookups = 0;
  const callers = new Callers(async () => {
    lookups++;
    return who();
  });
  const req = {} as IncomingMessage;
  assert.equal((await callers.of(req))?.user.loginName, 'mia@example.com');
  await callers.of(req);
  assert.equal(lookups, 1);
  const failing = new Callers(() => {
    throw new Error('no tunnel');
  });
  await assert.rejects(failing.of(req), /no tunnel/);
});

test('grants are the objects under one capability, and never an inherited property', () => {
  const caller = who({ capabilities: { cap: [{ admin: true }, 'x', null, [1]] } });
  assert.deepEqual(grantsOf(caller, 'cap'), [{ admin: true }]);
  assert.deepEqual(grantsOf(caller, 'toString'), []);
  assert.deepEqual(grantsOf(undefined, 'cap'), []);
  assert.equal(isTagged(caller), false);
});

test('a file has an ETag, answers 304 to it, and is immutable under its version', async () => {
  const assets = new Assets('/.static/');
  await serving(
    (req, res) => {
      if (!assets.serve(req, res)) res.writeHead(404).end();
    },
    async (url) => {
      const versioned = await fetch(url + assets.url('base.css'));
      assert.equal(versioned.status, 200);
      assert.match(versioned.headers.get('content-type')!, /text\/css/);
      assert.match(versioned.headers.get('cache-control')!, /immutable/);
      const etag = versioned.headers.get('etag')!;
      assert.equal((await versioned.text()).length > 1000, true);
      const again = await fetch(`${url}/.static/base.css`, {
        headers: { 'if-none-match': `W/${etag}` },
      });
      assert.equal(again.status, 304);
      assert.equal(
        (await fetch(`${url}/.static/base.css?v=old`)).headers.get('cache-control'),
        'no-cache',
      );
      const png = new Uint8Array(await (await fetch(`${url}/.static/favicon.png`)).arrayBuffer());
      assert.deepEqual([...png.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
      assert.equal((await fetch(`${url}/.static/nope`)).status, 404);
      assert.equal((await fetch(`${url}/.static/`)).status, 404);
    },
  );
  assert.throws(() => assets.url('nope'), RangeError);
});

const echoForm: RequestListener = async (req, res) => {
  try {
    res.end(JSON.stringify([...(await readForm(req, { limit: 1000 }))]));
  } catch (error) {
    assert.ok(error instanceof WebError);
    res.writeHead(error.status, { Connection: 'close' }).end(error.code);
  }
};

test('urlencoded and multipart forms are read, first value of each field, files ignored', async () => {
  await serving(echoForm, async (url) => {
    const plain = await fetch(url, {
      method: 'POST',
      body: new URLSearchParams([
        ['a', '1'],
        ['a', '2'],
        ['b', 'ü+ '],
      ]),
    });
    assert.deepEqual(await plain.json(), [
      ['a', '1'],
      ['b', 'ü+ '],
    ]);
    const form = new FormData();
    form.append('a', 'x\ny');
    form.append('f', new Blob(['data']), 'f.txt');
    assert.deepEqual(await (await fetch(url, { method: 'POST', body: form })).json(), [
      ['a', 'x\r\ny'],
    ]);
    assert.deepEqual(await (await fetch(url, { method: 'POST' })).json(), []);
  });
});

test('a body that is too large, of another type or malformed is refused by code', async () => {
  await serving(echoForm, async (url) => {
    const post = async (body: string, type: string): Promise<string> => {
      const res = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } });
      return `${res.status} ${await res.text()}`;
    };
    assert.equal(await post('{}', 'application/json'), '415 ERR_BODY_TYPE');
    assert.equal(await post('junk', 'multipart/form-data; boundary=x'), '400 ERR_BODY_MALFORMED');
    assert.equal(
      await post(`a=${'x'.repeat(2000)}`, 'application/x-www-form-urlencoded'),
      '413 ERR_BODY_TOO_LARGE',
    );
    // Without a length: counted while it arrives.
    const status = await new Promise((resolve, reject) => {
      const req = request(
        url,
        { method: 'POST', headers: { 'transfer-encoding': 'chunked' } },
        (res) => {
          resolve(res.statusCode);
          res.resume();
        },
      );
      req.on('error', reject);
      req.write('x'.repeat(600));
      setTimeout(() => req.end('x'.repeat(600)), 20);
    });
    assert.equal(status, 413);
  });
});
