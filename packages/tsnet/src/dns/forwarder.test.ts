import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, test } from 'node:test';
import { encodeDns, parseDns } from '@cove/protocol/dns';
import { Forwarder, framed } from './forwarder.ts';

const QUERY = encodeDns({
  id: 7,
  response: false,
  opcode: 0,
  authoritative: false,
  truncated: false,
  recursionDesired: true,
  recursionAvailable: false,
  authenticData: false,
  checkingDisabled: false,
  rcode: 0,
  questions: [{ name: 'www.example.com', type: 1, class: 1 }],
  answers: [],
  authorities: [],
  additionals: [],
});

/** The query as an answer; `mark` tells who gave it. */
function reply(rcode: number, mark: number): Uint8Array {
  const out = new Uint8Array(QUERY.length + 1);
  out.set(QUERY);
  out[2] = 0x80;
  out[3] = rcode;
  out[QUERY.length] = mark;
  return out;
}

const open: (Socket | Server)[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** A resolver on loopback; undefined: it stays silent. */
async function resolver(answer: Uint8Array | undefined): Promise<string> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  open.push(socket);
  await once(socket, 'listening');
  socket.on('message', (_query, from) => {
    if (answer) socket.send(answer, from.port, from.address);
  });
  return `127.0.0.1:${socket.address().port}`;
}

function forwarder(...systemResolvers: string[]): Forwarder {
  return new Forwarder({
    tailnet: {
      routesTo: () => false,
      dial: () => assert.fail('not a node'),
      openUdp: () => assert.fail('not a node'),
    },
    systemResolvers: () => systemResolvers,
  });
}

test('the longest suffix chooses the resolvers; then those for all, then those of the system', async () => {
  const [far, all, system] = await Promise.all([1, 2, 3].map((mark) => resolver(reply(0, mark))));
  const asked = forwarder(system!);
  const mark = async (name: string, dns: Parameters<Forwarder['ask']>[2]): Promise<unknown> =>
    (await asked.ask(QUERY, name, dns, false))?.at(-1);
  const routes = {
    Routes: { 'example.com.': [{ Addr: far! }], com: [{ Addr: all! }], 'x.example.com': [] },
  };
  assert.equal(await mark('www.example.com', routes), 1);
  assert.equal(await mark('example.com', routes), 1);
  assert.equal(await mark('notexample.com', routes), 2);
  assert.equal(await mark('example.org', routes), 3);
  assert.equal(await mark('example.org', { ...routes, Resolvers: [{ Addr: all! }] }), 2);
  assert.equal(await mark('example.org', undefined), 3);
});

test('a good answer wins over refusals and silence; SERVFAIL over REFUSED; nobody to ask is SERVFAIL', async () => {
  const [good, failed, refused, silent] = await Promise.all([
    resolver(reply(0, 1)),
    resolver(reply(2, 2)),
    resolver(reply(5, 3)),
    resolver(undefined),
  ]);
  const ask = async (...resolvers: string[]): Promise<Uint8Array | undefined> =>
    forwarder(...resolvers).ask(QUERY, 'a.example', undefined, false);
  assert.equal((await ask(failed!, refused!, silent!, good!))?.at(-1), 1);
  assert.equal((await ask(refused!, failed!))?.at(-1), 2);
  const none = await ask();
  assert.equal(parseDns(none!).rcode, 2);
  const unspoken = await ask('https://dns.example/dns-query');
  assert.equal(parseDns(unspoken!).rcode, 2);
});

test('answers to other questions are not taken; a resolver that refuses UDP is asked over TCP at once', async () => {
  const wrong = reply(0, 9);
  wrong[0] = 0xff;
  const forged = await resolver(wrong);
  const right = await resolver(reply(0, 1));
  assert.equal((await forwarder(forged, right).ask(QUERY, 'a', undefined, false))?.at(-1), 1);

  const tcp = createServer((socket) => {
    // In two pieces.
    const bytes = framed(reply(0, 4));
    socket.once('data', () => {
      socket.write(bytes.subarray(0, 1));
      setTimeout(() => socket.end(bytes.subarray(1)), 20);
    });
  }).listen(0, '127.0.0.1');
  open.push(tcp);
  await once(tcp, 'listening');
  const address = `127.0.0.1:${(tcp.address() as AddressInfo).port}`;
  assert.equal((await forwarder(address).ask(QUERY, 'a', undefined, true))?.at(-1), 4);
  // Nobody has the UDP port, and nobody says so on an unconnected socket: TCP comes after two seconds.
  assert.equal((await forwarder(address).ask(QUERY, 'a', undefined, false))?.at(-1), 4);
});

test('closing ends queries under way', async () => {
  const asked = forwarder(await resolver(undefined));
  const answer = asked.ask(QUERY, 'a', undefined, false);
  asked.close();
  assert.equal(parseDns((await answer)!).rcode, 2);
});
