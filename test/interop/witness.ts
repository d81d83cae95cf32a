// A node of ours as a program of its own that keeps watch over its tailnet. It answers on port 80 (`/`: who calls;
// `/ticks`: a line every 100 ms) and echoes on port 7. For each target it keeps one connection to port 7 there, over
// which it sends a line every 100 ms, and opens another one every 500 ms. It prints JSON lines, each with the time `at`
// (ms): `up`, `home` (the relay region, whenever it changed), `echo` and `new` (to `target`, with what it `took` and the
// direct address used, '' while relayed, or an `error`), `closed`, `slept`.
// Arguments: state directory, control URL, host name, [target name]... A line on standard input adds a target; the auth
// key is in TS_AUTHKEY.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { type Conn, Server } from '@cove/tsnet';

const [dir, controlUrl, hostname, ...targets] = process.argv.slice(2) as [string, string, string];
const print = (event: string, facts: object = {}): void =>
  console.log(JSON.stringify({ event, at: Date.now(), ...facts }));

const node = new Server({
  dir,
  controlUrl,
  hostname,
  log: (level, message, fields) => {
    if (message.startsWith('the machine was asleep')) print('slept');
    if (level !== 'debug') console.error(new Date().toISOString(), message, fields ?? '');
  },
});
const http = createServer((req, res) => {
  if (req.url !== '/ticks') {
    node.whoIs(req.socket).then(
      (who) => res.end(`you are ${who.node.computedName}\n`),
      (error: Error) => res.end(`${error.message}\n`),
    );
    return;
  }
  const timer = setInterval(() => res.write(`${Date.now()}\n`), 100);
  res.once('close', () => clearInterval(timer));
});
(await node.listen({ port: 80 })).serve(http);
(await node.listen({ port: 7 })).on('connection', (conn) => {
  conn.on('error', () => {});
  conn.pipe(conn);
});

let home: number | undefined;
const look = (): void => {
  const { self } = node.status();
  if (self === undefined) return;
  const now = node.homeRegion;
  if (now !== home) print('home', { region: now });
  home = now;
};
node.on('change', look);
setInterval(look, 200);

const { ips } = await node.up({ signal: AbortSignal.timeout(40_000) });
print('up', { ips });
for (const target of targets) watch(target);
createInterface(process.stdin).on('line', watch);

function watch(target: string): void {
  void keep(target);
  setInterval(() => void openAnother(target), 500);
}

function pathTo(target: string): string {
  return node.status().peers.find((peer) => peer.hostname === target)?.currentAddress ?? '';
}

async function keep(target: string): Promise<void> {
  let conn: Conn;
  try {
    conn = await node.dial({ host: target, port: 7, signal: AbortSignal.timeout(30_000) });
  } catch (error) {
    print('error', { target, error: (error as Error).message });
    setTimeout(() => void keep(target), 500);
    return;
  }
  conn.on('close', () => print('closed', { target }));
  conn.on('error', (error) => print('error', { target, error: error.message }));
  createInterface(conn).on('line', (line) =>
    print('echo', { target, took: Date.now() - Number(line), path: pathTo(target) }),
  );
  setInterval(() => conn.write(`${Date.now()}\n`), 100);
}

async function openAnother(target: string): Promise<void> {
  const begun = Date.now();
  const facts = (): object => ({ target, took: Date.now() - begun, path: pathTo(target) });
  try {
    const signal = AbortSignal.timeout(15_000);
    const conn = await node.dial({ host: target, port: 7, signal });
    conn.on('error', () => {});
    conn.write('hello\n');
    await once(conn, 'data', { signal });
    conn.destroy();
    print('new', facts());
  } catch (error) {
    print('new', { ...facts(), error: (error as Error).message });
  }
}
