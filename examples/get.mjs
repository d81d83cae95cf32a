// Fetches a page of another node and prints it.
//   TS_AUTHKEY=... node examples/get.mjs http://hello/
import { Server } from '@cove/tsnet';

const node = new Server({ hostname: 'get', ephemeral: true });
node.on('login', (url) => console.error(`to let this node in, open ${url}`));
try {
  const response = await node.fetch(process.argv[2] ?? 'http://hello/');
  process.stdout.write(await response.text());
} finally {
  await node.close();
}
