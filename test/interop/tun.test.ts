// The whole machine in the tailnet: `cove join --tun` and `cove up --tun` beside stock nodes in user space and with a
// network interface; the traffic is that of the machines' own programs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, type Host } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing } from '../harness/peers.ts';
import type { StockNode } from '../harness/stocknode.ts';
import { CoveHost } from './covehost.ts';
import { JoinedMachine } from './joinedmachine.ts';

const OWNER = 'ada@example.com';
const BULK = 20 << 20;
const BULK_SERVER = fileURLToPath(new URL('bulkserver.js', import.meta.url));
const ECHO_NODE = fileURLToPath(new URL('echonode.js', import.meta.url));
const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cove.js', import.meta.url));
const SERVICE = '100.100.100.100';

const skip = missing({
  root: true,
  commands: ['ping', 'curl', 'iperf3', 'unshare', 'setpriv'],
  programs: [
    ['tailscale', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
  ],
});

interface Iperf {
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly lost_percent?: number };
  };
}

describe('the whole machine in the tailnet', { skip, timeout: 300_000 }, () => {
  let network: CoveHost;
  let a: JoinedMachine;
  let b: JoinedMachine;
  let stockUser: StockNode;
  let stockTun: StockNode;
  /** SHA-256 of what every bulk server answers. */
  let digest: string;

  before(async () => {
    network = await CoveHost.start(OWNER, '--tun', '--no-dns');
    const key = await network.authKey(OWNER, '--reusable');
    const join = (name: string): JoinedMachine =>
      new JoinedMachine(
        network.lab.addHost(name),
        ...['--control-url', network.url, '--auth-key', key, '--hostname', name, '--tun'],
      );
    [a, b] = [join('a'), join('b')];
    stockUser = network.stockNode('stock-user', CURRENT_RELEASE);
    stockTun = network.stockNode('stock-tun', CURRENT_RELEASE, { tun: true });
    await Promise.all([
      a.start(),
      b.start(),
      stockUser.up(network.url, key, '--hostname=stock-user'),
      stockTun.up(network.url, key, '--hostname=stock-tun'),
    ]);
    const hosts = [a.host, b.host, stockUser.host, stockTun.host];
    const servers = hosts.map((host) =>
      host.start(process.execPath, [BULK_SERVER, '8000', String(BULK)]),
    );
    digest = await eventually(
      () => 'a bulk server did not start',
      20_000,
      () => servers.every(({ stdout }) => stdout !== '') && servers[0]!.stdout.trim(),
    );
    b.host.start('iperf3', ['--server']);
  });
  after(() => network?.[Symbol.asyncDispose]());

  const ping = (from: Host, to: string, ...more: string[]): Promise<unknown> =>
    eventually(
      () => `${from.name} does not reach ${to}`,
      20_000,
      () => from.run('ping', ['-c', '1', '-W', '2', ...more, to]),
    );

  test('the interface has the addresses, MTU 1280, and a route to every peer', async () => {
    const { stdout: link } = await a.host.run('ip', ['-json', 'addr', 'show', 'dev', 'cove0']);
    const [{ mtu, addr_info: info }] = JSON.parse(link) as [
      { mtu: number; addr_info: { local: string; prefixlen: number }[] },
    ];
    assert.equal(mtu, 1280);
    assert.deepEqual(
      info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      [`${a.v4}/32`, `${a.v6}/128`],
    );
    const { Self } = await stockTun.status();
    for (const to of [b.v4, b.v6, ...Self.TailscaleIPs, SERVICE, 'fd7a:115c:a1e0::53']) {
      const { stdout } = await a.host.run('ip', ['route', 'get', to]);
      assert.match(stdout, / dev cove0 /, to);
      assert.match(stdout, new RegExp(` src ${to.includes(':') ? a.v6 : a.v4} `), to);
    }
    assert.doesNotMatch((await a.host.run('ip', ['route', 'get', '100.64.255.1'])).stdout, /cove0/);
  });

  test('machines ping each other over both families', async () => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      await ping(from.host, to.v4);
      await ping(from.host, to.v6);
    }
  });

  test('machines and stock nodes ping each other; stock finds the direct path', async () => {
    for (const stock of [stockUser, stockTun]) {
      const { Self } = await stock.status();
      for (const address of Self.TailscaleIPs) await ping(a.host, address);
      assert.match(await stock.cli('ping', 'a'), /pong from a \(\S+\) via 10\.77\.0\./);
      assert.match(await stock.cli('ping', '--icmp', '--c=1', 'a'), /via ICMP/);
      assert.match(await stock.cli('ping', '--tsmp', '--c=1', 'a'), /via TSMP/);
    }
    await ping(stockTun.host, a.v4);
    await ping(stockTun.host, a.v6);
  });

  test('packets up to the MTU pass whole, larger ones are refused by the kernel', async () => {
    await ping(a.host, b.v4, '-M', 'do', '-s', String(1280 - 28));
    await assert.rejects(
      a.host.run('ping', ['-c', '1', '-M', 'do', '-s', String(1280 - 27), b.v4]),
      /[Mm]essage too long/,
    );
    await ping(a.host, b.v4, '-s', '8000');
    await ping(a.host, b.v6, '-s', '8000');
  });

  for (const way of ['download', 'upload'] as const) {
    test(`a ${way} of 20 MiB arrives whole between all kinds of machines, over both families`, async () => {
      const stockAddresses = (await stockTun.status()).Self.TailscaleIPs;
      const userAddress = (await stockUser.status()).Self.TailscaleIPs[0]!;
      const targets: readonly [string, (...args: string[]) => Promise<string>, string][] = [
        ['a to b', (...args) => a.run(...args), b.v4],
        ['a to b', (...args) => a.run(...args), b.v6],
        ['a to stock with TUN', (...args) => a.run(...args), stockAddresses[0]!],
        ['a to stock with TUN', (...args) => a.run(...args), stockAddresses[1]!],
        ['stock with TUN to a', (...args) => stockTun.run(...args), a.v4],
        ['stock with TUN to a', (...args) => stockTun.run(...args), a.v6],
        ['a to stock in user space', (...args) => a.run(...args), userAddress],
      ];
      for (const [name, run, to] of targets) {
        const url = `http://${to.includes(':') ? `[${to}]` : to}:8000/`;
        const curl = `curl -sSf --noproxy '*' --max-time 60`;
        const script =
          way === 'download'
            ? `${curl} ${url} | sha256sum`
            : `${curl} http://127.0.0.1:8000/ | ${curl} -T - ${url}`;
        assert.equal((await run('sh', '-c', script)).slice(0, 64), digest, `${name}, ${to}`);
      }
      if (way === 'download') {
        const page = await stockUser.run(
          ...[
            'sh',
            '-c',
            `curl -sSf --max-time 60 -x socks5h://localhost:1055 http://a:8000/ | sha256sum`,
          ],
        );
        assert.equal(page.slice(0, 64), digest, 'stock in user space to a');
      }
    });
  }

  test('iperf3 runs both ways over TCP, with several connections, and over UDP', async () => {
    const iperf = async (...args: string[]): Promise<Iperf> =>
      JSON.parse(
        (await a.host.run('iperf3', ['-J', '-t', '2', '-c', b.v4, ...args])).stdout,
      ) as Iperf;
    for (const args of [[], ['-R'], ['-P', '8']]) {
      const { bytes } = (await iperf(...args)).end.sum_received;
      assert.ok(bytes > 10 << 20, `${bytes} bytes with ${args.join(' ') || 'nothing more'}`);
    }
    const { lost_percent: lost } = (await iperf('-u', '-b', '10M', '-l', '1200')).end.sum_received;
    assert.ok(lost! < 5, `${lost} % lost`);
  });

  for (const tun of [false, true]) {
    const whose = tun
      ? 'of a node that shares its address with its machine'
      : 'of a node in a process';
    test(`the kernel's TCP gets 20 MiB echoed by the stack ${whose}`, async () => {
      const name = tun ? 'echo-tun' : 'echo';
      const host = network.lab.addHost(name);
      const node = host.start(
        process.execPath,
        [ECHO_NODE, `${host.dir}/node`, network.url, name, ...(tun ? ['echo'] : [])],
        {
          env: {
            TS_AUTHKEY: await network.authKey(OWNER),
            TS_DISABLE_PORTMAPPER: '1',
            ECHO_TUN: tun ? '1' : '0',
          },
        },
      );
      const { ips } = await eventually(
        () => `no echo node:\n${node.stderr}`,
        30_000,
        () =>
          /"up"/.test(node.stdout) &&
          (JSON.parse(node.stdout.split('\n')[0]!) as { ips: string[] }),
      );
      for (const ip of ips) {
        await ping(a.host, ip);
        const client = `
          const { connect } = require('node:net'); const { createHash } = require('node:crypto');
          const { get } = require('node:http'); const hash = createHash('sha256');
          get('http://127.0.0.1:8000/', (page) => {
            const socket = connect(7, '${ip}'); page.pipe(socket);
            socket.on('data', (bytes) => hash.update(bytes));
            socket.on('end', () => console.log(hash.digest('hex')));
          });`;
        assert.equal((await a.run(process.execPath, '-e', client)).trim(), digest, ip);
      }
      if (!tun) return;
      await eventually(
        () => `the process dials nobody:\n${node.stdout}${node.stderr}`,
        20_000,
        () => node.stdout.includes('"echo"'),
      );
      host.start(process.execPath, [BULK_SERVER, '8000', '1000']);
      await eventually(
        () => "the machine's own port is not reached",
        20_000,
        () => a.run('curl', '-sSf', '--noproxy', '*', '--max-time', '5', `http://${ips[0]}:8000/`),
      );
    });
  }

  test('names resolve for every program, at both service addresses, and go away with the node', async () => {
    assert.match(await a.resolvConf(), /^nameserver 100\.100\.100\.100\nsearch cove\.internal$/m);
    assert.match(await a.run('getent', 'ahostsv4', 'b'), new RegExp(`^${b.v4} `));
    assert.match(await a.run('getent', 'ahostsv4', 'stock-tun.cove.internal'), /^100\.64\./);
    assert.match(await a.run('curl', '-sSf', '--noproxy', '*', 'http://go/'), /ada@example\.com/);
    const script = `
      const { Resolver } = require('node:dns').promises;
      (async () => {
        const out = [];
        for (const server of ['${SERVICE}', 'fd7a:115c:a1e0::53']) {
          const resolver = new Resolver({ timeout: 3000, tries: 2 });
          resolver.setServers([server]);
          const ask = (method, name) => resolver[method](name).catch((error) => error.code);
          out.push(await ask('resolve4', 'b.cove.internal'), await ask('resolve6', 'b.cove.internal'));
          out.push(await ask('resolve4', 'nobody.cove.internal'), await ask('reverse', '${b.v4}'));
        }
        console.log(JSON.stringify(out));
      })();`;
    const answers = [[b.v4], 'ENODATA', 'ENOTFOUND', ['b.cove.internal']];
    assert.deepEqual(JSON.parse(await a.run(process.execPath, '-e', script)), [
      ...answers,
      ...answers,
    ]);
  });

  test('the services answer an echo and refuse other ports at once', async () => {
    await ping(a.host, SERVICE);
    await assert.rejects(
      a.run('curl', '-sS', '--noproxy', '*', '--max-time', '5', `http://${SERVICE}:81/`),
      /Connection refused|Failed to connect/,
    );
  });

  test('cove up --tun takes the machine of the doorway in', async () => {
    await ping(network.host, a.v4);
    const { stdout } = await network.host.run('ip', ['-4', '-o', 'addr', 'show', 'dev', 'cove0']);
    const address = /inet (\S+)\/32/.exec(stdout)![1]!;
    await ping(a.host, address);
    const { stdout: page } = await network.host.run('curl', [
      ...['-sSf', '--noproxy', '*', `http://${network.cove.ready.services[0]!.ips[0]}/`],
    ]);
    assert.match(page, /ada@example\.com/);
    assert.match(await network.admin('status'), /machine through cove0/);
  });

  test('a peer that leaves takes its routes along', async () => {
    const leaver = new JoinedMachine(
      network.lab.addHost('leaver'),
      ...['--control-url', network.url, '--auth-key', await network.authKey(OWNER)],
      ...['--hostname', 'leaver', '--ephemeral', '--tun', 'tailnet7', '--no-dns'],
    );
    const conf = await leaver.resolvConf();
    await leaver.start();
    assert.equal(leaver.interface, 'tailnet7');
    assert.equal(await leaver.resolvConf(), conf, '--no-dns');
    const address = leaver.v4;
    await ping(a.host, address);
    assert.equal(await leaver.stop('SIGINT'), 0);
    await eventually(
      () => 'the route stays',
      20_000,
      async () => !(await a.host.run('ip', ['route'])).stdout.includes(`${address} `),
    );
  });

  test('SIGTERM removes interface, routes and resolver; kill -9 leaves what the next start repairs', async () => {
    const traces = async (): Promise<string> => {
      const { stdout: links } = await b.host.run('ip', ['-o', 'link']);
      const { stdout: routes } = await b.host.run('ip', ['route', 'show', 'table', 'all']);
      const { stdout: routes6 } = await b.host.run('ip', ['-6', 'route', 'show', 'table', 'all']);
      const { stdout: rules } = await b.host.run('ip', ['rule']);
      const ours = /cove0|100\.64\.|100\.100\.|fd7a:/;
      return `${links}${routes}${routes6}${rules}`
        .split('\n')
        .filter((line) => ours.test(line))
        .join('\n');
    };
    const machine = b;
    assert.notEqual(await traces(), '');
    assert.equal(await machine.stop(), 0);
    assert.equal(await traces(), '');
    assert.doesNotMatch(await machine.resolvConf(), /Cove|100\.100/);
    const conf = await machine.resolvConf();
    await machine.start();
    await ping(a.host, machine.v4);
    assert.equal(await machine.stop('SIGKILL'), 'SIGKILL');
    assert.equal(await traces(), '', 'the kernel removes all that belongs to the interface');
    assert.match(await machine.resolvConf(), /100\.100/);
    await machine.start();
    assert.match(await machine.resolvConf(), /100\.100/);
    await ping(a.host, machine.v4);
    assert.equal(await machine.stop(), 0);
    assert.equal(await machine.resolvConf(), conf);
  });

  test('what stands in the way is one sentence', async () => {
    const host = network.lab.addHost('refused');
    const join = [
      'join',
      '--control-url',
      network.url,
      '--dir',
      `${host.dir}/data`,
      '--auth-key',
      'x',
    ];
    const failing = async (
      command: readonly string[],
      env: NodeJS.ProcessEnv = {},
    ): Promise<string> => {
      const [program, ...args] = [...command, '--no-dns'];
      const error = await host.run(program!, args, { env }).then(
        () => assert.fail('it started'),
        (reason: { stderr: string; code: number }) => reason,
      );
      assert.equal(error.code, 1);
      return error.stderr;
    };
    assert.match(
      await failing([process.execPath, BIN, ...join, '--tun', 'eth0']),
      /^cove: .*eth0.*name\n$/,
    );
    assert.match(
      await failing([
        'setpriv',
        '--bounding-set=-net_admin',
        process.execPath,
        BIN,
        ...join,
        '--tun',
      ]),
      /^cove: .*CAP_NET_ADMIN.*sudo\n$/,
    );
    assert.match(
      await failing([process.execPath, BIN, ...join, '--tun'], { COVE_NO_NATIVE: '1' }),
      /^cove: the native part of Cove is missing: COVE_NO_NATIVE switches it off\n$/,
    );
  });
});
