// DNS messages (RFC 1035 section 4, RFC 3596 AAAA, RFC 2782 SRV, RFC 6891 EDNS), as far as a resolver for the
// tailnet's names and a forwarder need them.
//
//   message   id u16 | flags u16 | counts of questions, answers, authorities, additionals u16 x 4 | those sections
//   flags     QR | opcode (4) | AA | TC | RD | RA | 0 | AD | CD | rcode (4)
//   question  name | type u16 | class u16
//   record    name | type u16 | class u16 | ttl u32 | data length u16 | data
//
//   data      A [4]   AAAA [16]   NS, CNAME, PTR: name   MX: preference u16 | name
//             SRV: priority u16 | weight u16 | port u16 | name      TXT: (length u8 | bytes) x N, N >= 1
//             SOA: name | mailbox name | serial, refresh, retry, expire, minimum u32 x 5
//             any other type, OPT among them: bytes as they came
import { ProtocolError } from './bytes.ts';
import { parseName } from './dnsname.ts';
import { DnsWriter } from './dnswriter.ts';

export const DNS_HEADER_LENGTH = 12;
/** What a client without EDNS takes over UDP (RFC 1035 section 4.2.1). */
export const DNS_UDP_LENGTH = 512;
export const MAX_DNS_LENGTH = 65_535;

export const DnsType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  AXFR: 252,
  ANY: 255,
} as const;

export const DnsClass = { IN: 1, ANY: 255 } as const;

export const DnsRcode = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
} as const;

export interface DnsQuestion {
  /** Text form of dnsname.ts: no dot at the end, case as it came. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** Data of a record, told apart by `kind`; names in text form. */
export type DnsData =
  | { readonly kind: 'address'; readonly addr: Uint8Array }
  | { readonly kind: 'name'; readonly target: string }
  | { readonly kind: 'mx'; readonly preference: number; readonly target: string }
  | {
      readonly kind: 'srv';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly kind: 'txt'; readonly strings: readonly Uint8Array[] }
  | {
      readonly kind: 'soa';
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    }
  | { readonly kind: 'raw'; readonly bytes: Uint8Array };

export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Seconds. */
  readonly ttl: number;
  readonly data: DnsData;
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  readonly rcode: number;
  readonly questions: readonly DnsQuestion[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

const FLAG_QR = 0x8000;
const FLAG_AA = 0x0400;
const FLAG_TC = 0x0200;
const FLAG_RD = 0x0100;
const FLAG_RA = 0x0080;
const FLAG_AD = 0x0020;
const FLAG_CD = 0x0010;

type Header = Omit<DnsMessage, 'questions' | 'answers' | 'authorities' | 'additionals'>;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function parseHeader(view: DataView): Header {
  const flags = view.getUint16(2);
  return {
    id: view.getUint16(0),
    response: (flags & FLAG_QR) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & FLAG_AA) !== 0,
    truncated: (flags & FLAG_TC) !== 0,
    recursionDesired: (flags & FLAG_RD) !== 0,
    recursionAvailable: (flags & FLAG_RA) !== 0,
    authenticData: (flags & FLAG_AD) !== 0,
    checkingDisabled: (flags & FLAG_CD) !== 0,
    rcode: flags & 15,
  };
}

/**
 * Header and first question alone, whatever stands behind: how a resolver reads a query. undefined if the header
 * is short; no question if there is none or it is broken.
 */
export function parseDnsQuery(
  message: Uint8Array,
): (Header & { readonly question?: DnsQuestion }) | undefined {
  if (message.length < DNS_HEADER_LENGTH) return undefined;
  const view = viewOf(message);
  const header = parseHeader(view);
  if (view.getUint16(4) === 0) return header;
  try {
    return { ...header, question: parseQuestion(message, view, DNS_HEADER_LENGTH).question };
  } catch (error) {
    if (error instanceof ProtocolError) return header;
    throw error;
  }
}

function parseQuestion(
  message: Uint8Array,
  view: DataView,
  at: number,
): { question: DnsQuestion; end: number } {
  const { name, end } = parseName(message, at);
  if (end + 4 > message.length) throw new ProtocolError('ERR_TRUNCATED', 'half a question');
  const question = { name, type: view.getUint16(end), class: view.getUint16(end + 2) };
  return { question, end: end + 4 };
}

/**
 * Reads a whole message; bytes behind the last record are ignored. Byte arrays in it are views. Throws
 * ERR_TRUNCATED, ERR_MALFORMED or ERR_TOO_LARGE.
 */
export function parseDns(message: Uint8Array): DnsMessage {
  if (message.length < DNS_HEADER_LENGTH) throw new ProtocolError('ERR_TRUNCATED', 'no DNS header');
  if (message.length > MAX_DNS_LENGTH) throw new ProtocolError('ERR_TOO_LARGE', 'DNS message');
  const view = viewOf(message);
  let at = DNS_HEADER_LENGTH;
  const questions: DnsQuestion[] = [];
  for (let n = view.getUint16(4); n > 0; n--) {
    const { question, end } = parseQuestion(message, view, at);
    questions.push(question);
    at = end;
  }
  const section = (count: number): DnsRecord[] => {
    const records: DnsRecord[] = [];
    for (let n = count; n > 0; n--) {
      const { record, end } = parseRecord(message, view, at);
      records.push(record);
      at = end;
    }
    return records;
  };
  return {
    ...parseHeader(view),
    questions,
    answers: section(view.getUint16(6)),
    authorities: section(view.getUint16(8)),
    additionals: section(view.getUint16(10)),
  };
}

function parseRecord(
  message: Uint8Array,
  view: DataView,
  offset: number,
): { record: DnsRecord; end: number } {
  const { name, end: at } = parseName(message, offset);
  if (at + 10 > message.length) throw new ProtocolError('ERR_TRUNCATED', 'half a record');
  const type = view.getUint16(at);
  const end = at + 10 + view.getUint16(at + 8);
  if (end > message.length) throw new ProtocolError('ERR_TRUNCATED', 'half the data of a record');
  const data = parseData(message, view, type, at + 10, end);
  const record = { name, type, class: view.getUint16(at + 2), ttl: view.getUint32(at + 4), data };
  return { record, end };
}

function parseData(
  message: Uint8Array,
  view: DataView,
  type: number,
  at: number,
  end: number,
): DnsData {
  const need = (n: number): void => {
    if (end - at < n) throw new ProtocolError('ERR_MALFORMED', `data of type ${type} too short`);
  };
  const nameAt = (offset: number, exact: boolean): { name: string; end: number } => {
    const parsed = parseName(message, offset);
    if (parsed.end > end || (exact && parsed.end !== end)) {
      throw new ProtocolError('ERR_MALFORMED', `name does not fit the data of type ${type}`);
    }
    return parsed;
  };
  switch (type) {
    case DnsType.A:
    case DnsType.AAAA:
      if (end - at !== (type === DnsType.A ? 4 : 16)) {
        throw new ProtocolError('ERR_MALFORMED', `address of ${end - at} bytes`);
      }
      return { kind: 'address', addr: message.subarray(at, end) };
    case DnsType.NS:
    case DnsType.CNAME:
    case DnsType.PTR:
      return { kind: 'name', target: nameAt(at, true).name };
    case DnsType.MX:
      need(2);
      return { kind: 'mx', preference: view.getUint16(at), target: nameAt(at + 2, true).name };
    case DnsType.SRV:
      need(6);
      return {
        kind: 'srv',
        priority: view.getUint16(at),
        weight: view.getUint16(at + 2),
        port: view.getUint16(at + 4),
        target: nameAt(at + 6, true).name,
      };
    case DnsType.TXT: {
      const strings: Uint8Array[] = [];
      for (let i = at; i < end; i += 1 + message[i]!) {
        if (i + 1 + message[i]! > end)
          throw new ProtocolError('ERR_MALFORMED', 'half a TXT string');
        strings.push(message.subarray(i + 1, i + 1 + message[i]!));
      }
      return { kind: 'txt', strings };
    }
    case DnsType.SOA: {
      const primary = nameAt(at, false);
      const mailbox = nameAt(primary.end, false);
      const n = mailbox.end;
      if (end - n !== 20) throw new ProtocolError('ERR_MALFORMED', 'SOA numbers');
      return {
        kind: 'soa',
        primary: primary.name,
        mailbox: mailbox.name,
        serial: view.getUint32(n),
        refresh: view.getUint32(n + 4),
        retry: view.getUint32(n + 8),
        expire: view.getUint32(n + 12),
        minimum: view.getUint32(n + 16),
      };
    }
    default:
      return { kind: 'raw', bytes: message.subarray(at, end) };
  }
}

/** What the sender takes over UDP: the size its OPT record names (RFC 6891 section 6.2.3), at least 512. */
export function ednsUdpLength(message: DnsMessage): number {
  const opt = message.additionals.find((record) => record.type === DnsType.OPT);
  return Math.max(DNS_UDP_LENGTH, opt?.class ?? 0);
}

/**
 * A message as a new array, names compressed. What does not fit in maxLength is left out from the end, whole
 * records at a time but an OPT record last, and TC is set (RFC 2181 section 9). Throws what nameLabels throws,
 * and ERR_TOO_LARGE if the questions or one record's data do not fit.
 */
export function encodeDns(message: DnsMessage, maxLength: number = MAX_DNS_LENGTH): Uint8Array {
  const opt = message.additionals.find((record) => record.type === DnsType.OPT);
  const plain = message.additionals.filter((record) => record !== opt);
  const writer = new DnsWriter(Math.min(maxLength, MAX_DNS_LENGTH) - (opt ? recordLength(opt) : 0));
  for (const question of message.questions) writer.question(question);
  const counts = [message.answers, message.authorities, plain].map((records) =>
    writer.section(records),
  );
  const truncated = message.truncated || writer.full;
  if (opt !== undefined) {
    writer.limit = Math.min(maxLength, MAX_DNS_LENGTH);
    writer.full = false;
    counts[2]! += writer.section([opt]);
  }
  const out = writer.finish();
  const view = viewOf(out);
  view.setUint16(0, message.id);
  view.setUint16(
    2,
    (message.response ? FLAG_QR : 0) |
      ((message.opcode & 15) << 11) |
      (message.authoritative ? FLAG_AA : 0) |
      (truncated ? FLAG_TC : 0) |
      (message.recursionDesired ? FLAG_RD : 0) |
      (message.recursionAvailable ? FLAG_RA : 0) |
      (message.authenticData ? FLAG_AD : 0) |
      (message.checkingDisabled ? FLAG_CD : 0) |
      (message.rcode & 15),
  );
  view.setUint16(4, message.questions.length);
  counts.forEach((count, i) => {
    view.setUint16(6 + 2 * i, count);
  });
  return out;
}

/** An OPT record as it will be written: its name is the root, its data raw. */
function recordLength(opt: DnsRecord): number {
  return 11 + (opt.data.kind === 'raw' ? opt.data.bytes.length : 0);
}
