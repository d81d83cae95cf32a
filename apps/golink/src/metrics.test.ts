import assert from 'node:assert/strict';
import { test } from 'node:test';
import { person, startService } from './testing/service.ts';

const sample = (body: string, name: string): string | undefined =>
  body
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1);

test('/.metrics counts links, visits by name and missing names, in the text format of Prometheus', async () => {
  await using go = await startService();
  await go.save('Who-1', 'http://who/');
  await go.save('bad', 'http://x/{{.Nothing}}');
  for (const path of ['/who1', '/WHO-1', '/who1.', '/bad', '/nobody', '/nobody.', '/a"b%5C%0A'])
    await go.get(path);
  const { status, headers, body } = await go.get('/.metrics');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.equal(sample(body, 'golinks_total'), '2');
  assert.equal(sample(body, 'golink_clicks_total{path="Who-1"}'), '3');
  assert.equal(sample(body, 'golink_clicks_total{path="bad"}'), '1', 'failed visits count too');
  assert.equal(sample(body, 'golink_not_found_total{path="nobody"}'), '2');
  assert.equal(sample(body, 'golink_not_found_total{path="a\\"b\\\\\\n"}'), '1');
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes'])
    assert.ok(Number(sample(body, name)) > 0, name);
  for (const line of body.trim().split('\n'))
    assert.match(
      line,
      /^(?:# (?:HELP|TYPE) [a-z0-9_]+ .+|[a-z0-9_]+(?:\{[a-z]+="(?:[^"\\]|\\.)*"\})? [-0-9.e+]+)$/,
    );
  await go.post('/.delete/who1', { xsrf: await go.token('/.detail/Who-1') });
  assert.equal(sample((await go.get('/.metrics')).body, 'golinks_total'), '1');
});

test('names that nobody has made, however many, take so many labels and no more', async () => {
  await using go = await startService({ hosts: () => [] });
  const missing = Array.from({ length: 10_100 }, (_, i) => `/missing${i}`);
  missing.push(`/${'x'.repeat(200)}`);
  const host = { host: 'elsewhere.example.com' };
  for (let at = 0; at < missing.length; at += 500)
    await Promise.all(missing.slice(at, at + 500).map((path) => go.get(path, host)));
  const { body } = await go.get('/.metrics');
  assert.equal(sample(body, 'golink_not_found_total{path="(other)"}'), '101');
  assert.equal(
    body.split('\n').filter((line) => line.startsWith('golink_not_found')).length,
    10_001,
  );
});

test('/.metrics names links, so that it is not told under a foreign name', async () => {
  await using go = await startService();
  assert.equal((await go.get('/.metrics', { host: 'evil.example.com' })).status, 421);
});

test('/.healthz is ok while the database answers, and says why when it does not', async () => {
  await using go = await startService();
  const well = await go.get('/.healthz', { host: 'balancer.example.com' });
  assert.deepEqual([well.status, well.body], [200, 'ok\n']);
  await go.golink.close();
  const ill = await go.get('/.healthz');
  assert.deepEqual([ill.status, ill.body], [503, 'golink has been closed.\n']);
});

test('with requireIdentity the unknown follow links and see no list; callers the network knows see all', async () => {
  await using go = await startService({ requireIdentity: true });
  await go.save('who', 'http://who/');
  const shown = ['/.all', '/.export', '/.export-stats', '/.metrics', '/.api/v1/links', '/.//all'];
  for (const caller of [undefined, new Error('no answer')]) {
    go.caller = caller;
    assert.equal((await go.get('/who')).status, 302);
    for (const path of ['/.help', '/.healthz', '/.opensearch'])
      assert.equal((await go.get(path)).status, 200, path);
    for (const path of shown) assert.ok((await go.get(path)).status >= 400, path);
  }
  go.caller = undefined;
  assert.equal((await go.get('/.export')).status, 403);
  go.caller = person('foo@example.com');
  for (const path of shown) assert.ok((await go.get(path)).status < 400, path);
});
