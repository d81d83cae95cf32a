// A node of ours as a program of its own, for namespaces. It echoes on port 7; with a target it also keeps one
// connection there, sends a line every 100 ms, and prints one JSON line per echo: when it came back (ms), how long it
// took, and the peer's direct address ('' while relayed).
// Arguments: state directory, control URL, host name, [target name]. The auth key is in TS_AUTHKEY; ECHO_TUN=1 takes the
// machine in, too.
import { Server } from '@cove/tsnet';

const [dir, controlUrl, hostname, target] = process.argv.slice(2) as [
  string,
  string,
  string,
  string?,
];
const node = new Server({
  dir,
  controlUrl,
  hostname,
  ...(process.env['ECHO_TUN'] === '1' && { tun: { dns: false } }),
});
const { ips } = await node.up({ signal: AbortSignal.timeout(40_000) });
(await node.listen({ port: 7 })).on('connection', (conn) => {
  conn.on('error', () => {});
  conn.pipe(conn);
});
console.log(JSON.stringify({ event: 'up', ips }));

if (target !== undefined) {
  const conn = await node.dial({ host: target, port: 7, signal: AbortSignal.timeout(30_000) });
  conn.on('close', () => console.log(JSON.stringify({ event: 'closed' })));
  conn.on('error', (error) =>
    console.log(JSON.stringify({ event: 'error', error: error.message })),
  );
  let rest = '';
  conn.setEncoding('utf8');
  conn.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    const peer = node
      .status()
      .peers.find(({ hostname, addresses }) => hostname === target || addresses.includes(target));
    // The peer relay in use, too.
    const { currentAddress: path = '', peerRelay = '' } = peer ?? {};
    for (const line of lines) {
      const at = Date.now();
      console.log(JSON.stringify({ event: 'echo', at, took: at - Number(line), path, peerRelay }));
    }
  });
  setInterval(() => conn.write(`${Date.now()}\n`), 100);
}
