// Starts on a stock coordination server with a stock relay (testcontrol), which answer on loopback only: server, relay
// and node are in one namespace.
import { eventually, type Host } from '../harness/lab.ts';
import { peerPath } from '../harness/peers.ts';
import type { Values } from './metrics.ts';
import { type Flavour, newIdentity, type Start, startPeer } from './pairings.ts';

const NO_UDP = ['OUTPUT', '-p', 'udp', '-j', 'DROP'];

/** Of one kind of node, on a server that has seen none yet. */
export async function stockStarts(flavour: Flavour, host: Host): Promise<Values> {
  const control = host.start(peerPath('testcontrol'), []);
  try {
    const address = await eventually(
      () => `testcontrol did not start\n${control.stderr}`,
      15_000,
      () => /listening on (127\.0\.0\.1:\d+)/.exec(control.stderr)?.[1],
    );
    const tailnet = { controlUrl: `http://${address}`, authKey: 'any' };
    const seconds = async (start: Start): Promise<number> => {
      const peer = await startPeer(flavour, host, tailnet, start);
      await peer.kill();
      return peer.startMs / 1000;
    };
    const identity = newIdentity(host);
    const fresh = await seconds({ identity });
    const kept = await seconds({ identity });
    const mapped = await seconds({ portMapping: true });
    await host.run('iptables', ['-A', ...NO_UDP]);
    const withoutUdp = await seconds({}).finally(() => host.run('iptables', ['-D', ...NO_UDP]));
    return {
      'start.stock.new': fresh,
      'start.stock.kept': kept,
      'start.stock.mapped': mapped,
      'start.stock.noUdp': withoutUdp,
    };
  } finally {
    await control.kill('SIGKILL');
  }
}
