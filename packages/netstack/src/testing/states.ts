// Connections in each of the eleven states of RFC 9293 3.3.2.
import assert from 'node:assert/strict';
import { established, type Family, Script } from './scripted.ts';

/** Brings a fresh connection into a state, with nothing left to expect. LISTEN and CLOSED: port 80 with and without listener. */
export function inState(state: string, family: Family = 4): Script {
  if (state === 'CLOSED' || state === 'LISTEN') {
    const s = new Script({ family });
    s.localPort = 80;
    if (state === 'LISTEN') s.listen();
    return s;
  }
  if (state === 'SYN-SENT') {
    const s = new Script({ family });
    s.connect();
    s.expect({ flags: 'S' });
    return s;
  }
  if (state === 'SYN-RECEIVED') {
    const s = new Script({ family });
    s.listen();
    s.arrives({ flags: 'S', seq: 0, mss: 1000 });
    s.expect({ flags: 'SA' });
    return s;
  }
  const s = established({ family });
  const fin = (): void => {
    s.socket.shutdownWrite();
    s.poll();
    s.expect({ flags: 'FA', seq: 1, ack: s.app.events.includes('ended') ? 2 : 1 });
  };
  const peerFin = (ack: number): void => {
    s.arrives({ flags: 'FA', seq: 1, ack });
    s.expect({ flags: 'A', ack: 2 });
  };
  switch (state) {
    case 'ESTABLISHED':
      break;
    case 'FIN-WAIT-1':
      fin();
      break;
    case 'FIN-WAIT-2':
      fin();
      s.arrives({ flags: 'A', seq: 1, ack: 2 });
      break;
    case 'CLOSE-WAIT':
      peerFin(1);
      break;
    case 'CLOSING':
      fin();
      peerFin(1);
      break;
    case 'LAST-ACK':
      peerFin(1);
      fin();
      break;
    case 'TIME-WAIT':
      fin();
      peerFin(2);
      break;
  }
  assert.equal(s.state, state);
  s.expectNothing();
  return s;
}

export const SYNCHRONIZED: readonly string[] = [
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];
/** RCV.NXT of each state, relative. */
export const nextOf = (state: string): number =>
  ['ESTABLISHED', 'FIN-WAIT-1', 'FIN-WAIT-2'].includes(state) ? 1 : 2;
/** SND.NXT of each state, relative. */
export const sentOf = (state: string): number =>
  ['ESTABLISHED', 'CLOSE-WAIT'].includes(state) ? 1 : 2;
