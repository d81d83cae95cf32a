// Event processing, state by state (RFC 9293 3.10.7): what each of the eleven states answers to each kind of segment, which
// state follows and what the application gets.
import assert from 'node:assert/strict';
import { both, type Script, type Segment } from '../testing/scripted.ts';
import { inState, nextOf } from '../testing/states.ts';

/** SND.UNA of the states that have one, relative. */
const UNA: Readonly<Record<string, number>> = { 'FIN-WAIT-2': 2, 'TIME-WAIT': 2 };

/** Each event at RCV.NXT, with the present acknowledgement. */
function segment(event: string, state: string): Segment {
  const seq = state === 'SYN-SENT' && (event === 'RST' || event === 'SYN') ? 0 : nextOf(state);
  const at = { seq: ['CLOSED', 'LISTEN', 'SYN-RECEIVED'].includes(state) ? 1 : seq };
  const ack = UNA[state] ?? 1;
  switch (event) {
    case 'RST':
      return state === 'SYN-SENT' ? { flags: 'RA', ...at, ack } : { flags: 'R', ...at };
    case 'SYN':
      return { flags: 'S', ...at, mss: 1000 };
    case 'bad ACK':
      return { flags: 'A', ...at, ack: 5000 };
    case 'old ACK':
      return { flags: 'A', ...at, ack: 0 };
    case 'data':
      return { flags: 'A', ...at, ack, data: 'data' };
    case 'FIN':
      return { flags: 'FA', ...at, ack };
    default:
      return { flags: 'FA', ...at, ack, data: 'data' };
  }
}

/** Answer (flags, seq, ack; '' for silence), state that follows, bytes delivered. */
type Outcome = readonly [answer: string, next: string, delivered: string];

/** What all synchronized states have in common. */
function synchronized(state: string, seq: number, next: number): Record<string, Outcome> {
  const challenge: Outcome = [`A ${seq} ${next}`, state, ''];
  return {
    RST: ['', state === 'TIME-WAIT' ? state : 'CLOSED', ''],
    SYN: challenge,
    'bad ACK': challenge,
    'old ACK': ['', state, ''],
  };
}

/** After the peer's FIN nothing more is taken. */
function finished(state: string, seq: number): Record<string, Outcome> {
  const same: Outcome = [`A ${seq} 2`, state, ''];
  return { ...synchronized(state, seq, 2), data: same, FIN: same, 'FIN with data': same };
}

const OUTCOMES: Readonly<Record<string, Readonly<Record<string, Outcome>>>> = {
  CLOSED: {
    RST: ['', 'CLOSED', ''],
    SYN: ['RA 0 2', 'CLOSED', ''],
    'bad ACK': ['R 5000', 'CLOSED', ''],
    'old ACK': ['R 0', 'CLOSED', ''],
    data: ['R 1', 'CLOSED', ''],
    FIN: ['R 1', 'CLOSED', ''],
    'FIN with data': ['R 1', 'CLOSED', ''],
  },
  LISTEN: {
    RST: ['', 'LISTEN', ''],
    SYN: ['SA 0 2', 'SYN-RECEIVED', ''],
    'bad ACK': ['R 5000', 'LISTEN', ''],
    'old ACK': ['R 0', 'LISTEN', ''],
    data: ['R 1', 'LISTEN', ''],
    FIN: ['R 1', 'LISTEN', ''],
    'FIN with data': ['R 1', 'LISTEN', ''],
  },
  'SYN-SENT': {
    RST: ['', 'CLOSED', ''],
    SYN: ['SA 0 1', 'SYN-RECEIVED', ''],
    'bad ACK': ['R 5000', 'SYN-SENT', ''],
    'old ACK': ['R 0', 'SYN-SENT', ''],
    data: ['', 'SYN-SENT', ''],
    FIN: ['', 'SYN-SENT', ''],
    'FIN with data': ['', 'SYN-SENT', ''],
  },
  'SYN-RECEIVED': {
    RST: ['', 'LISTEN', ''],
    SYN: ['A 1 1', 'SYN-RECEIVED', ''],
    'bad ACK': ['R 5000', 'SYN-RECEIVED', ''],
    'old ACK': ['R 0', 'SYN-RECEIVED', ''],
    data: ['A 1 5', 'ESTABLISHED', 'data'],
    FIN: ['A 1 2', 'CLOSE-WAIT', ''],
    'FIN with data': ['A 1 6', 'CLOSE-WAIT', 'data'],
  },
  ESTABLISHED: {
    ...synchronized('ESTABLISHED', 1, 1),
    data: ['A 1 5', 'ESTABLISHED', 'data'],
    FIN: ['A 1 2', 'CLOSE-WAIT', ''],
    'FIN with data': ['A 1 6', 'CLOSE-WAIT', 'data'],
  },
  'FIN-WAIT-1': {
    ...synchronized('FIN-WAIT-1', 2, 1),
    data: ['A 2 5', 'FIN-WAIT-1', 'data'],
    FIN: ['A 2 2', 'CLOSING', ''],
    'FIN with data': ['A 2 6', 'CLOSING', 'data'],
  },
  'FIN-WAIT-2': {
    ...synchronized('FIN-WAIT-2', 2, 1),
    data: ['A 2 5', 'FIN-WAIT-2', 'data'],
    FIN: ['A 2 2', 'TIME-WAIT', ''],
    'FIN with data': ['A 2 6', 'TIME-WAIT', 'data'],
  },
  'CLOSE-WAIT': finished('CLOSE-WAIT', 1),
  CLOSING: finished('CLOSING', 2),
  'LAST-ACK': finished('LAST-ACK', 2),
  'TIME-WAIT': finished('TIME-WAIT', 2),
};

const SECTION: Readonly<Record<string, string>> = {
  CLOSED: '3.10.7.1',
  LISTEN: '3.10.7.2',
  'SYN-SENT': '3.10.7.3',
};

/** A SYN-ACK may go out before a number is known: relative to it all numbers are. */
function answers(s: Script): string {
  return s.out
    .map((o) => {
      const flags = ['F', 'S', 'R', '', 'A'].filter((_, bit) => o.flags & (1 << bit)).join('');
      const seq = (o.seq - (s.iss === o.seq ? o.seq : s.iss)) | 0;
      return flags === 'R' ? `${flags} ${seq}` : `${flags} ${seq} ${(o.ack - s.peerIss) | 0}`;
    })
    .join(', ');
}

function stateOf(s: Script, before: string): string {
  if (s.socket !== undefined) return s.state;
  if (s.stack.connectionCount > 0) return 'SYN-RECEIVED';
  return before === 'CLOSED' ? 'CLOSED' : 'LISTEN';
}

for (const [state, events] of Object.entries(OUTCOMES)) {
  for (const [event, [answer, next, delivered]] of Object.entries(events)) {
    both(`${state}: ${event} (RFC 9293 ${SECTION[state] ?? '3.10.7.4'})`, (family) => {
      const s = inState(state, family);
      s.arrives(segment(event, state));
      s.advance(40);
      assert.equal(answers(s), answer, 'answer');
      assert.equal(stateOf(s, state), next, 'state');
      assert.equal(s.app.received, delivered, 'delivered');
    });
  }
}
