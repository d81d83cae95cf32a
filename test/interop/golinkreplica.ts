// One replica of golink over a shared database, in a process of its own: serves on loopback, tells its port.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGolink } from '@cove/golink';

const golink = await createGolink({
  database: process.argv[2]!,
  identify: async () => undefined,
  allowUnknownUsers: true,
});
const server = createServer(golink.handler).listen(0, '127.0.0.1', () => {
  process.send!((server.address() as AddressInfo).port);
});
process.on('disconnect', () => process.exit());
