// A direct path stops to carry packets while a connection is open.
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openUdp, type UdpOpen } from './magicsock/udpsocket.ts';
import { TestTailnet, until } from './testing/tailnet.ts';

let net: TestTailnet | undefined;

afterEach(async () => {
  await net?.close();
  net = undefined;
});

/** The longest time until the next heartbeat, twice its grace, and what a busy machine needs. */
const LIMIT = 3_000 + 2 * 500 + 1_500;

test('the direct path is cut: an open connection goes on through the relay, whichever end sends, and comes back', async () => {
  net = await TestTailnet.start();
  let cut = false;
  const cuttable: UdpOpen = (options) => {
    const real = openUdp(options);
    return {
      port: (family) => real.port(family),
      send: (path, buf, offset, length) => cut || real.send(path, buf, offset, length),
      probe: (path, datagram) => cut || real.probe(path, datagram),
      flush: () => real.flush(),
      rebind: () => real.rebind(),
      get dropped() {
        return real.dropped;
      },
      get refused() {
        return real.refused;
      },
      close: () => real.close(),
    };
  };
  const a = net.add({}, { openUdp: cuttable });
  const b = net.add({}, { openUdp: cuttable });
  net.publish();
  await until(() => b.engine.endpoints.length > 0, 'b knows where it is');
  b.node = { ...b.node, Endpoints: b.engine.endpoints.map(({ addrPort }) => addrPort) };
  net.publish();
  let heard = 0;
  b.engine.listenTcp({ port: 7 }).on('connection', (conn) => {
    const timer = setInterval(() => conn.write('news'), 50);
    conn.on('data', () => heard++).on('close', () => clearInterval(timer));
  });
  const conn = await a.engine.dialTcp({ address: '100.64.0.2', port: 7 });
  let told = 0;
  conn.on('data', () => told++);
  const isDirect = (of: typeof a): boolean =>
    of.engine.peerStatus()[0]!.currentAddress !== undefined;
  await until(() => isDirect(a) && isDirect(b), 'direct');
  await until(() => told > 0, 'news');
  // Only b sends; then a speaks too.
  cut = true;
  await delay(30);
  told = 0;
  await until(() => told > 0 && !isDirect(b), 'news by the relay', LIMIT);
  conn.write('thanks');
  await until(() => heard > 0, 'thanks by the relay', LIMIT);
  cut = false;
  await until(() => isDirect(a) && isDirect(b), 'direct again', 10_000);
  conn.destroy();
  await once(conn, 'close');
});
