import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { imageOrigin, isOwnHost, isSameOrigin, securityHeaders } from './security.ts';

const request = (method: string, headers: Record<string, string>): IncomingMessage =>
  ({ method, headers }) as unknown as IncomingMessage;

test('a state-changing request is foreign when the browser says so, by Sec-Fetch-Site or by Origin', () => {
  const cases: readonly [Record<string, string>, boolean][] = [
    [{ host: 'go' }, true],
    [{ host: 'go', origin: 'http://go' }, true],
    [{ host: 'go:80', origin: 'http://go' }, true],
    [{ host: 'GO', origin: 'http://go' }, true],
    [{ host: 'go.localhost:8080', origin: 'http://go.localhost:8080' }, true],
    [{ host: 'go', origin: 'https://go' }, true],
    [{ host: 'go', origin: 'http://go:8080' }, false],
    [{ host: 'go', origin: 'http://evil.example' }, false],
    [{ host: 'go', origin: 'null' }, false],
    [{ host: 'go', origin: 'file://go' }, false],
    [{ host: 'go', origin: '' }, false],
    [{ host: 'go', 'sec-fetch-site': 'same-origin' }, true],
    [{ host: 'go', 'sec-fetch-site': 'none' }, true],
    [{ host: 'go', 'sec-fetch-site': 'same-site' }, false],
    [{ host: 'go', 'sec-fetch-site': 'cross-site', origin: 'http://go' }, false],
  ];
  for (const [headers, expected] of cases)
    assert.equal(isSameOrigin(request('POST', headers)), expected, JSON.stringify(headers));
  assert.equal(isSameOrigin(request('GET', { host: 'go', origin: 'http://evil.example' })), true);
});

test('a Host header is ours when no page elsewhere can have pointed it at us (DNS rebinding)', () => {
  const own = ['Go.Tail.Example.'];
  for (const host of [
    'go',
    'GO:80',
    '127.0.0.1:8080',
    '[::1]:80',
    '100.64.0.7',
    'go.localhost:8080',
    'go.prawn-universe.ts.net',
    'go.tail.example',
    'go.tail.example.:443',
  ])
    assert.equal(isOwnHost(host, own), true, host);
  for (const host of [
    undefined,
    '',
    'evil.example',
    'go.evil.example',
    'ts.net.evil.example',
    'go@evil',
    '127.0.0.1.evil.example',
    'a b',
    '[::1',
  ])
    assert.equal(isOwnHost(host, own), false, host);
});

test('a picture may come from its own https origin and nothing can end the policy early', () => {
  assert.equal(imageOrigin('https://pics.example/me.png'), 'https://pics.example');
  assert.equal(imageOrigin('https://pics.example:8443/x'), 'https://pics.example:8443');
  for (const url of [
    undefined,
    'http://pics.example/x',
    'javascript:1',
    'data:image/png;base64,x',
    "https://a;script-src 'unsafe-inline'/",
    'nonsense',
  ])
    assert.equal(imageOrigin(url), undefined, url);
  const policy = securityHeaders({ imageOrigins: ['https://pics.example'] })[
    'Content-Security-Policy'
  ]!;
  assert.match(policy, /img-src 'self' data: https:\/\/pics\.example;/);
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
});
