// An HTTP server with the machine's own sockets, as a program of its own for namespaces: GET answers the same bytes
// each time, PUT answers the SHA-256 of what came. Arguments: port, bytes.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const [port, size] = process.argv.slice(2).map(Number) as [number, number];
const body = Buffer.alloc(size);
for (let i = 0; i < size; i++) body[i] = (i * 2654435761) >>> 24;

createServer(async (req, res) => {
  if (req.method !== 'PUT') {
    res.end(body);
    return;
  }
  const hash = createHash('sha256');
  for await (const chunk of req) hash.update(chunk as Buffer);
  res.end(hash.digest('hex'));
}).listen(port, '::', () => {
  console.log(createHash('sha256').update(body).digest('hex'));
});
