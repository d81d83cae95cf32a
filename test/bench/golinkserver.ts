// One server of the golink measurements, in a process of its own: golink over a database, or node:http alone.
// Arguments: `bare`, or a database and `import` followed by a number of links to make.
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGolink, type Golink } from '@cove/golink';
import { scaleLine } from './golinklinks.ts';

export interface ServerReady {
  readonly port: number;
  /** From the start of opening to being able to answer. */
  readonly openMs: number;
  readonly importMs: number;
}

export interface ServerUse {
  readonly rss: number;
}

const [kind = 'bare', , links = '0'] = process.argv.slice(2);
const from = performance.now();
let golink: Golink | undefined;
let handler: RequestListener = (_req, res) =>
  void res.writeHead(302, { Location: 'http://example.com/', 'Content-Length': 0 }).end();
let openMs = 0;
let importMs = 0;
if (kind !== 'bare') {
  golink = await createGolink({
    database: kind,
    identify: async () => undefined,
    allowUnknownUsers: true,
  });
  openMs = performance.now() - from;
  const started = performance.now();
  if (Number(links) > 0) await golink.importSnapshot(lines(Number(links)));
  importMs = performance.now() - started;
  handler = golink.handler;
}

async function* lines(count: number): AsyncGenerator<string> {
  for (let i = 0; i < count; i += 500) {
    let text = '';
    for (let k = i; k < Math.min(i + 500, count); k++) text += scaleLine(k);
    yield text;
  }
}

const server = createServer(handler).listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send!({ port, openMs, importMs } satisfies ServerReady);
});
process.on('message', (message) => {
  if (message === 'use') process.send!({ rss: process.memoryUsage.rss() } satisfies ServerUse);
  if (message === 'end') void golink?.close().then(() => process.exit());
});
process.on('disconnect', () => process.exit());
