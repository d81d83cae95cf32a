// Registers many machines that stay away, so that a node has peers it never talks to. Runs beside the coordination
// server, which it reaches on loopback: `crowd.js PORT AUTHKEY COUNT`.
import { fileURLToPath } from 'node:url';
import { fetchControlKey, TestNode } from '@cove/control/testing/client';

export const CROWD: string = fileURLToPath(import.meta.url);

const PARALLEL = 8;

async function register(port: number, authKey: string, count: number): Promise<void> {
  const controlKey = await fetchControlKey(port);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const client = await new TestNode(`crowd-${next++}`).connect(port, controlKey);
      const { Error: refusal } = await client.register({ Auth: { AuthKey: authKey } });
      if (refusal) throw new Error(refusal);
      // Peers are told of those that were there once.
      await (await client.stream({ OmitPeers: true })).next();
      client.close();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

if (process.argv[1] === CROWD) {
  const [port, authKey, count] = process.argv.slice(2);
  await register(Number(port), authKey!, Number(count));
  process.exit();
}
