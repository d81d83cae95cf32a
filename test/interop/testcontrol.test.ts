// Our node on a stock control server: `cove golink` joins testcontrol, and a stock client of that tailnet opens the
// page, over a stock relay.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, type Host, Lab, type Started } from '../harness/lab.ts';
import { CURRENT_RELEASE, missing, peerPath } from '../harness/peers.ts';
import { StockNode } from '../harness/stocknode.ts';

const skip = missing({
  root: true,
  programs: [
    ['testcontrol', CURRENT_RELEASE],
    ['tailscaled', CURRENT_RELEASE],
    ['tailscale', CURRENT_RELEASE],
  ],
});
const CLI = new URL('../../../packages/cli/bin/cove.js', import.meta.url).pathname;

describe('our node on a stock control server', { skip }, () => {
  let lab: Lab;
  let host: Host;
  let control: Started;
  let url: string;

  before(async () => {
    lab = new Lab();
    host = lab.addHost('all');
    control = host.start(peerPath('testcontrol', CURRENT_RELEASE), []);
    const address = await eventually(
      () => `testcontrol did not start\n${control.stderr}`,
      15_000,
      () => /listening on (127\.0\.0\.1:\d+)/.exec(control.stderr)?.[1],
    );
    url = `http://${address}`;
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  test('cove golink joins testcontrol, and a stock tailscaled there opens http://go/', async () => {
    const golink = host.start(
      process.execPath,
      [CLI, 'golink', '--dir', join(host.dir, 'golink'), '--control-url', url, '--json'],
      { env: { TS_AUTHKEY: 'any' } },
    );
    const node = new StockNode(host, CURRENT_RELEASE);
    try {
      await eventually(
        () => `not ready\n${golink.stderr}`,
        40_000,
        () => golink.stdout.includes('"ready"'),
      );
      await node.up(url, 'any');
      const page = await eventually(
        () => `no page\n${golink.stderr}\n${node.log}`,
        30_000,
        () => node.curl('http://go/'),
      );
      const status = await node.status();
      const login = status.User[String(status.Self.UserID)]!.LoginName;
      assert.ok(page.includes(login), `the page names ${login}`);
      assert.match(await node.cli('ping', '--c=3', '--until-direct=false', 'go'), /pong from go /);
    } finally {
      await node.stop();
      await golink.kill();
    }
  });
});
