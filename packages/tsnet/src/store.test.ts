// The state directory: what survives a crash, what a second process sees, and what damage looks like.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nodeCrypto } from '@cove/crypto';
import { utf8Decode, utf8Encode } from '@cove/protocol/bytes';
import { type Clock, systemClock } from './clock.ts';
import type { TsnetError } from './errors.ts';
import { Identity } from './profile.ts';
import { FileStore, MemoryStore, STATE_FILE } from './store.ts';

const crypto = nodeCrypto();
const root = mkdtempSync(join(tmpdir(), 'cove-store-'));
after(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const newDir = (): string => join(root, `node${count++}`);
const CONTROL = 'https://control.example.com';

async function failure(promise: Promise<unknown>): Promise<TsnetError> {
  return promise.then(
    () => assert.fail('did not fail'),
    (error: TsnetError) => error,
  );
}

test('what was written is there again; the directory is 0700, the file 0600', async () => {
  const dir = newDir();
  const store = await FileStore.open(dir);
  store.write({ a: utf8Encode('one'), b: utf8Encode('two') });
  store.write({ a: undefined });
  store.close();
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.equal(statSync(join(dir, STATE_FILE)).mode & 0o777, 0o600);
  const again = await FileStore.open(dir);
  assert.equal(again.read('a'), undefined);
  assert.equal(utf8Decode(again.read('b')!), 'two');
  again.close();
  assert.deepEqual(readdirSync(dir), [STATE_FILE]);
});

test('the file is JSON of key to base64, as Go keeps it', async () => {
  const dir = newDir();
  const store = await FileStore.open(dir);
  store.write({ _machinekey: utf8Encode('privkey:00') });
  store.close();
  assert.deepEqual(JSON.parse(readFileSync(join(dir, STATE_FILE), 'utf8')), {
    _machinekey: Buffer.from('privkey:00').toString('base64'),
  });
});

test('a draft left by a process that died while writing is removed, the state is the old one', async () => {
  const dir = newDir();
  const store = await FileStore.open(dir);
  store.write({ a: utf8Encode('old') });
  store.close();
  writeFileSync(join(dir, `${STATE_FILE}.draft`), '{"a":"bm');
  const again = await FileStore.open(dir);
  assert.equal(utf8Decode(again.read('a')!), 'old');
  again.close();
  assert.equal(existsSync(join(dir, `${STATE_FILE}.draft`)), false);
});

for (const [what, text] of [
  ['cut short', '{"a":"b25l'],
  ['not JSON', 'hello'],
  ['an array', '[]'],
  ['a number', '7'],
  ['a value that is not base64', '{"a":"*"}'],
  ['a value that is no string', '{"a":7}'],
] as const) {
  test(`a state file that is ${what}: ERR_STATE_CORRUPT names it and leaves it alone`, async () => {
    const dir = newDir();
    (await FileStore.open(dir)).close();
    const path = join(dir, STATE_FILE);
    writeFileSync(path, text);
    const error = await failure(FileStore.open(dir));
    assert.equal(error.code, 'ERR_STATE_CORRUPT');
    assert.equal(error.path, path);
    assert.ok(
      error.message.includes(path) && error.message.includes('move it away'),
      error.message,
    );
    assert.equal(readFileSync(path, 'utf8'), text);
    // The lock is free again: once repaired, the directory opens.
    writeFileSync(path, '{}');
    (await FileStore.open(dir)).close();
  });
}

test('an empty state file is a new one', async () => {
  const dir = newDir();
  (await FileStore.open(dir)).close();
  writeFileSync(join(dir, STATE_FILE), '');
  (await FileStore.open(dir)).close();
});

test('a file where the directory should be: ERR_STATE_IO', async () => {
  const path = newDir();
  writeFileSync(path, '');
  assert.equal((await failure(FileStore.open(path))).code, 'ERR_STATE_IO');
});

test('a second node on the same directory in this process: ERR_STATE_LOCKED', async () => {
  const dir = newDir();
  const store = await FileStore.open(dir);
  const error = await failure(FileStore.open(dir));
  assert.equal(error.code, 'ERR_STATE_LOCKED');
  assert.match(error.message, /this process already runs/);
  store.close();
  (await FileStore.open(dir)).close();
});

const HOLDER = `
  const { FileStore } = await import(${JSON.stringify(new URL('./store.js', import.meta.url).href)});
  const store = await FileStore.open(process.argv[1]);
  store.write({ a: new Uint8Array([1]) });
  console.log('held');
  setInterval(() => {}, 1000);
`;

test('another process holds it: one clear error; killed with SIGKILL, it is free at once', async () => {
  const dir = newDir();
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const error = await failure(FileStore.open(dir));
    assert.equal(error.code, 'ERR_STATE_LOCKED');
    assert.ok(
      error.message.includes(String(child.pid)) && error.message.includes(dir),
      error.message,
    );
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
  const store = await FileStore.open(dir);
  assert.deepEqual([...store.read('a')!], [1]);
  store.close();
});

const linux = { skip: process.platform === 'linux' ? false : 'needs /proc' };

test('a holder that was killed and is not waited for by its parent is dead', {
  ...linux,
  timeout: 30_000,
}, async () => {
  const dir = newDir();
  // The shell becomes a program that waits for nobody.
  const script = '"$0" --input-type=module -e "$1" "$2" & exec sleep 60';
  const parent = spawn('/bin/sh', ['-c', script, process.execPath, HOLDER, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(parent.stdout, 'data');
    const { pid } = JSON.parse(readFileSync(join(dir, 'lock'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    while (!/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    (await FileStore.open(dir)).close();
  } finally {
    parent.kill('SIGKILL');
  }
});

test(
  'many who find a dead holder at the same time: exactly one gets the directory',
  linux,
  async () => {
    const dir = newDir();
    (await FileStore.open(dir)).close();
    writeFileSync(join(dir, 'lock'), deadHolder());
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => FileStore.open(dir)));
    const opened = results.filter((result) => result.status === 'fulfilled');
    assert.equal(opened.length, 1);
    opened[0]!.value.close();
  },
);

test('a dead holder that cannot be replaced, as on a full disk: ERR_STATE_IO says so', {
  ...linux,
  timeout: 10_000,
}, async (t) => {
  const dir = newDir();
  (await FileStore.open(dir)).close();
  writeFileSync(join(dir, 'lock'), deadHolder());
  const write = fs.writeFileSync;
  t.mock.method(fs, 'writeFileSync', (path: string, ...rest: [string]) => {
    if (path.endsWith('lock.guard')) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    write(path, ...rest);
  });
  syncBuiltinESMExports();
  try {
    const signal = AbortSignal.timeout(2_000);
    const error = await failure(FileStore.open(dir, { signal }));
    assert.equal(error.code, 'ERR_STATE_IO');
    assert.match(error.message, /ENOSPC/);
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
});

/** A lock of this boot and namespace whose process does not exist. */
function deadHolder(): string {
  const namespace = readlinkSync('/proc/self/ns/pid');
  return JSON.stringify({ ...foreignHolder(), pid: 2 ** 22 - 1, namespace });
}

/** The holder's own words when it lives in another PID namespace. */
function foreignHolder(): Record<string, unknown> {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return { pid: process.pid, started: '1', boot, namespace: 'pid:[0]', id: 'foreign' };
}

test(
  'a holder of another container: held while its heartbeat moves, free 15 seconds after it stopped',
  linux,
  async () => {
    const dir = newDir();
    (await FileStore.open(dir)).close();
    const lock = join(dir, 'lock');
    writeFileSync(lock, JSON.stringify(foreignHolder()));
    const beat = setTimeout(() => utimesSync(lock, new Date(), new Date(Date.now() + 1)), 5);
    let skipped = 0;
    const clock: Clock = {
      now: () => systemClock.now() + skipped,
      wallNow: () => systemClock.wallNow() + skipped,
      schedule: (delayMs, callback, ref) => {
        if (delayMs >= 1_000) return systemClock.schedule(delayMs, callback, ref);
        return systemClock.schedule(
          20,
          () => {
            skipped += delayMs;
            callback();
          },
          ref,
        );
      },
    };
    assert.equal((await failure(FileStore.open(dir, { clock }))).code, 'ERR_STATE_LOCKED');
    clearTimeout(beat);
    (await FileStore.open(dir, { clock })).close();
    assert.ok(skipped >= 14_000, `waited ${skipped} ms`);
  },
);

test('a directory that cannot be written: ERR_STATE_IO says so', {
  skip: process.getuid?.() === 0,
}, async () => {
  const dir = newDir();
  (await FileStore.open(dir)).close();
  chmodSync(dir, 0o500);
  assert.equal((await failure(FileStore.open(dir))).code, 'ERR_STATE_IO');
});

test('state that cannot be written any more: ERR_STATE_IO, and the value in memory stays the old one', async () => {
  const dir = newDir();
  const store = await FileStore.open(dir);
  store.write({ a: utf8Encode('old') });
  rmSync(dir, { recursive: true });
  assert.throws(() => store.write({ a: utf8Encode('new') }), { code: 'ERR_STATE_IO' });
  assert.equal(utf8Decode(store.read('a')!), 'old');
  store.close();
});

test('identity: the machine key is made once; a login survives; another server gets another login', async () => {
  const store = new MemoryStore();
  const first = Identity.open(store, crypto, CONTROL, 'memory');
  assert.equal(first.login, undefined);
  const nodeKey = first.machineKey;
  first.saveLogin({ nodeKey, oldNodeKey: undefined, stableId: 'n7', loginName: 'a@b' });
  const again = Identity.open(store, crypto, `${CONTROL}/`, 'memory');
  assert.deepEqual(again.machineKey.expose(), first.machineKey.expose());
  assert.deepEqual(again.login?.nodeKey.expose(), nodeKey.expose());
  assert.equal(again.login?.stableId, 'n7');
  assert.equal(again.networkLockPublic, first.networkLockPublic);
  const other = Identity.open(store, crypto, 'https://other.example.com', 'memory');
  assert.equal(other.login, undefined);
  assert.deepEqual(other.machineKey.expose(), first.machineKey.expose());
  again.forgetLogin();
  assert.equal(Identity.open(store, crypto, CONTROL, 'memory').login, undefined);
});

test('identity: members of Go preferences that this node does not know are kept', () => {
  const store = new MemoryStore();
  const prefs = {
    ControlURL: CONTROL,
    ShieldsUp: true,
    Config: {
      PrivateNodeKey: `privkey:${'11'.repeat(32)}`,
      OldPrivateNodeKey: `privkey:${'00'.repeat(32)}`,
      NodeID: 'nABC',
      AttestationKey: null,
      UserProfile: { ID: 5, LoginName: 'a@b', Groups: ['g'] },
    },
  };
  store.write({
    _machinekey: utf8Encode(`privkey:${'22'.repeat(32)}`),
    '_current-profile': utf8Encode('profile-0a1b'),
    'profile-0a1b': utf8Encode(JSON.stringify(prefs)),
  });
  const identity = Identity.open(store, crypto, CONTROL, 'memory');
  assert.equal(identity.login?.stableId, 'nABC');
  identity.saveLogin({ ...identity.login!, loginName: 'c@d' });
  const saved = JSON.parse(utf8Decode(store.read('profile-0a1b')!));
  assert.equal(saved.ShieldsUp, true);
  assert.deepEqual(saved.Config.UserProfile, { ID: 5, LoginName: 'c@d', Groups: ['g'] });
  assert.equal(saved.Config.PrivateNodeKey, prefs.Config.PrivateNodeKey);
});

for (const [what, values] of [
  ['a machine key that is none', { _machinekey: 'privkey:12' }],
  ['a profile that is not JSON', { '_current-profile': 'profile-1', 'profile-1': '{' }],
  ['a profile that is an array', { '_current-profile': 'profile-1', 'profile-1': '[]' }],
  [
    'a node key that is none',
    {
      '_current-profile': 'profile-1',
      'profile-1': JSON.stringify({
        ControlURL: CONTROL,
        Config: { PrivateNodeKey: 'privkey:zz' },
      }),
    },
  ],
] as const) {
  test(`identity: ${what} is ERR_STATE_CORRUPT, and the key is not repeated`, () => {
    const store = new MemoryStore();
    store.write(Object.fromEntries(Object.entries(values).map(([k, v]) => [k, utf8Encode(v)])));
    assert.throws(
      () => Identity.open(store, crypto, CONTROL, '/state/file'),
      (error: TsnetError) =>
        error.code === 'ERR_STATE_CORRUPT' &&
        error.message.includes('/state/file') &&
        !error.message.includes('privkey'),
    );
  });
}
