// The kernel's end, run inside a network namespace: `peer.js serve PORT` or `peer.js run ADDRESS PORT COMMAND COUNT TIMES`.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { runCommand, serve } from './service.ts';

const [mode, ...args] = process.argv.slice(2);
if (mode === 'serve') {
  const port = Number(args[0]);
  // Whoever started this is gone.
  process.stdin.resume().on('end', () => process.exit());
  createServer({ allowHalfOpen: true }, (socket) => {
    void serve(socket).catch(() => {});
  }).listen(port, '::', 1024, () => console.log('ready'));
  for (const type of ['udp4', 'udp6'] as const) {
    const echo = createSocket({ type, ipv6Only: type === 'udp6' });
    echo.on('message', (bytes, from) => echo.send(bytes, from.port, from.address));
    echo.bind(port);
  }
} else {
  const [address, port, command, count, times] = args;
  const one = async (): Promise<string> => {
    const socket = connect({ host: address!, port: Number(port), allowHalfOpen: true });
    try {
      return await runCommand(socket, command!, Number(count));
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  };
  const results = await Promise.all(Array.from({ length: Number(times) }, one));
  console.log(JSON.stringify(results));
}
