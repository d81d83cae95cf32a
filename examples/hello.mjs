// A web page that greets its caller by name. Run it with TS_AUTHKEY set, or open the URL it prints.
//   TS_AUTHKEY=... node examples/hello.mjs
import { createServer } from 'node:http';
import { Server } from '@cove/tsnet';

const node = new Server({ hostname: 'hello' });
node.on('login', (url) => console.log(`to let this node in, open ${url}`));
const { dnsName } = await node.up();

const http = createServer(async (req, res) => {
  const who = await node.whoIs(req.socket);
  res.end(`hello ${who.user.displayName} on ${who.node.computedName}\n`);
});
(await node.listen({ port: 80 })).serve(http);
console.log(`http://${dnsName}/`);

process.once('SIGTERM', async () => {
  await node.close();
  process.exit(0);
});
