import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { silent } from '../log.ts';
import { ResolvConf, SystemDns } from './systemdns.ts';

const BEFORE = 'nameserver 192.0.2.53\n';
const skip = process.platform === 'linux' ? false : 'for Linux';
let etc: string;

beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), 'cove-etc-'));
});
afterEach(() => rmSync(etc, { recursive: true, force: true }));

const path = (): string => join(etc, 'resolv.conf');
const read = (): string => readFileSync(path(), 'utf8');

function dns(resolvectl?: (args: readonly string[]) => Promise<void>): SystemDns {
  return new SystemDns({
    interfaceName: 'cove0',
    log: silent,
    etc,
    ...(resolvectl && { resolvectl }),
  });
}

test('resolv.conf names us while MagicDNS is on, and is what it was afterwards', { skip }, () => {
  writeFileSync(path(), BEFORE);
  const system = dns();
  system.apply('corp.example', { Proxied: true, Domains: ['corp.example', 'lab.example.'] });
  assert.match(read(), /^nameserver 100\.100\.100\.100\nsearch corp\.example lab\.example$/m);
  system.apply('corp.example', { Proxied: false });
  assert.equal(read(), BEFORE);
  system.apply('corp.example', { Proxied: true });
  system.close();
  assert.equal(read(), BEFORE);
  assert.deepEqual(readdirSync(etc), ['resolv.conf']);
});

test('the end of the process is listened to once, however often names change', { skip }, () => {
  writeFileSync(path(), BEFORE);
  const before = process.listenerCount('exit');
  const system = dns();
  for (const suffix of ['a.example', 'b.example', 'c.example'])
    system.apply(suffix, { Proxied: true });
  assert.equal(process.listenerCount('exit'), before + 1);
  system.close();
  assert.equal(process.listenerCount('exit'), before);
});

test('a link comes back as a link, and no file as no file', { skip }, () => {
  writeFileSync(join(etc, 'elsewhere'), BEFORE);
  symlinkSync('elsewhere', path());
  const linked = dns();
  linked.apply('corp.example', { Proxied: true });
  assert.equal(readFileSync(join(etc, 'elsewhere'), 'utf8'), BEFORE);
  linked.close();
  assert.ok(lstatSync(path()).isSymbolicLink());
  rmSync(path());
  const bare = dns();
  bare.apply('corp.example', { Proxied: true });
  assert.match(read(), /100\.100\.100\.100/);
  bare.close();
  assert.deepEqual(readdirSync(etc), ['elsewhere']);
});

test('what a killed process left is put back at the next start, what a living one wrote is not', {
  skip,
}, () => {
  writeFileSync(path(), BEFORE);
  const module = JSON.stringify(new URL('./systemdns.js', import.meta.url));
  const script = `import { ResolvConf } from ${module};
    new ResolvConf(${JSON.stringify(etc)}).install([]); process.kill(process.pid, 'SIGKILL');`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 20_000,
  });
  assert.equal(signal, 'SIGKILL');
  assert.match(read(), /100\.100\.100\.100/);
  new ResolvConf(etc).restore();
  assert.match(read(), /100\.100\.100\.100/, 'it is not ours');
  new ResolvConf(etc).recover();
  assert.equal(read(), BEFORE);
  new ResolvConf(etc).install([]);
  new ResolvConf(etc).recover();
  assert.match(read(), /100\.100\.100\.100/);
});

test('a process that exits without closing puts it back', { skip }, () => {
  writeFileSync(path(), BEFORE);
  const module = JSON.stringify(new URL('./systemdns.js', import.meta.url));
  const script = `import { SystemDns } from ${module};
    import { readFileSync } from 'node:fs';
    const dns = new SystemDns({ interfaceName: 'x', log() {}, etc: ${JSON.stringify(etc)} });
    dns.apply('a.example', { Proxied: true });
    console.log(readFileSync(${JSON.stringify(path())}, 'utf8'));
    process.exit();`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.match(stdout, /nameserver 100\.100\.100\.100/);
  assert.equal(read(), BEFORE);
});

test('what others wrote meanwhile stays, and so does the resolver of another tailnet', {
  skip,
}, () => {
  writeFileSync(path(), BEFORE);
  const system = dns();
  system.apply('corp.example', { Proxied: true });
  writeFileSync(path(), 'nameserver 192.0.2.99\n');
  system.close();
  assert.equal(read(), 'nameserver 192.0.2.99\n');
  const other = '# somebody\nnameserver 100.100.100.100\n';
  writeFileSync(path(), other);
  dns().apply('corp.example', { Proxied: true });
  assert.equal(read(), other);
});

test('systemd-resolved is asked for the interface, with its names only unless control has resolvers for all', {
  skip,
}, async () => {
  mkdirSync(join(etc, 'systemd'));
  symlinkSync('../run/systemd/resolve/stub-resolv.conf', path());
  const calls: string[] = [];
  const system = dns(async (args) => {
    calls.push(args.join(' '));
  });
  system.apply('corp.example', {
    Proxied: true,
    Routes: { 'lab.example.': [{ Addr: '192.0.2.1' }] },
  });
  system.apply('corp.example', { Proxied: true, Resolvers: [{ Addr: '192.0.2.2' }] });
  system.apply('corp.example', undefined);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(calls, [
    'dns cove0 100.100.100.100',
    'domain cove0 corp.example ~corp.example ~lab.example',
    'default-route cove0 false',
    'dns cove0 100.100.100.100',
    'domain cove0 corp.example ~.',
    'default-route cove0 true',
    'revert cove0',
  ]);
  assert.ok(lstatSync(path()).isSymbolicLink());
});
