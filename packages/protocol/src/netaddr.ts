// IP addresses, prefixes and address:port pairs. Binary form: 4 or 16 bytes in network order. Text form: the
// canonical string (dotted quad; RFC 5952 for IPv6, IPv4-mapped addresses as `::ffff:a.b.c.d`). Zones
// (`fe80::1%eth0`) are refused: they mean nothing on another machine.

/** Addresses whose first `bits` bits equal those of `addr`; addr need not be masked. */
export interface Prefix {
  readonly addr: Uint8Array;
  readonly bits: number;
}

function parseIPv4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const digits = match[i + 1]!;
    const value = Number(digits);
    // A leading zero means octal to some readers (RFC 6943 section 3.1.1): refuse it.
    if (value > 255 || (digits.length > 1 && digits.startsWith('0'))) return undefined;
    out[i] = value;
  }
  return out;
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  for (const group of text.split(':')) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    groups.push(Number.parseInt(group, 16));
  }
  return groups;
}

function parseIPv6(text: string): Uint8Array | undefined {
  let head = text;
  const tail: number[] = [];
  const lastColon = text.lastIndexOf(':');
  if (text.includes('.')) {
    const v4 = parseIPv4(text.slice(lastColon + 1));
    if (v4 === undefined) return undefined;
    tail.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    head = text.slice(0, lastColon);
    // `::1.2.3.4` leaves ":" behind, of which the second colon belonged to the gap.
    if (head.endsWith(':')) head += ':';
    if (head === '') return undefined;
  }
  const gap = head.indexOf('::');
  let groups: number[];
  if (gap < 0) {
    const all = parseGroups(head);
    if (all === undefined) return undefined;
    groups = [...all, ...tail];
    if (groups.length !== 8) return undefined;
  } else {
    const before = parseGroups(head.slice(0, gap));
    const after = parseGroups(head.slice(gap + 2));
    if (before === undefined || after === undefined) return undefined;
    after.push(...tail);
    const zeros = 8 - before.length - after.length;
    if (zeros < 1) return undefined;
    groups = [...before, ...new Array<number>(zeros).fill(0), ...after];
  }
  const out = new Uint8Array(16);
  groups.forEach((group, i) => {
    out[2 * i] = group >> 8;
    out[2 * i + 1] = group & 255;
  });
  return out;
}

/** The 4 or 16 bytes of an address, undefined if the text is none. */
export function parseAddr(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined;
  return text.includes(':') ? parseIPv6(text) : parseIPv4(text);
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 255 && bytes[11] === 255;
}

/** Canonical text. Throws RangeError unless there are 4 or 16 bytes. */
export function formatAddr(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw new RangeError(`address of ${bytes.length} bytes`);
  if (isMapped(bytes)) return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  let best = -1;
  let bestLength = 1; // RFC 5952 section 4.2.2: one zero group is not shortened.
  let run = 0;
  for (let i = 0; i < 8; i++) {
    run = bytes[2 * i] === 0 && bytes[2 * i + 1] === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = i - run + 1;
    }
  }
  let out = '';
  for (let i = 0; i < 8; i++) {
    if (i === best) {
      out += '::';
      i += bestLength - 1;
      continue;
    }
    if (out !== '' && !out.endsWith(':')) out += ':';
    out += ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16);
  }
  return out;
}

/** `addr/bits`, bits in plain decimal. Host bits may be set; undefined if the text is no prefix. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.lastIndexOf('/');
  if (slash < 0) return undefined;
  const addr = parseAddr(text.slice(0, slash));
  const bitsText = text.slice(slash + 1);
  if (addr === undefined || !/^(?:0|[1-9]\d{0,2})$/.test(bitsText)) return undefined;
  const bits = Number(bitsText);
  return bits > addr.length * 8 ? undefined : { addr, bits };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddr(prefix.addr)}/${prefix.bits}`;
}

/** A prefix of one family never contains an address of the other. */
export function prefixContains(prefix: Prefix, addr: Uint8Array): boolean {
  if (prefix.addr.length !== addr.length) return false;
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.addr[i] !== addr[i]) return false;
  const left = prefix.bits & 7;
  return left === 0 || ((prefix.addr[whole]! ^ addr[whole]!) & (0xff00 >> left) & 0xff) === 0;
}

/** The same prefix with its host bits cleared, as a copy. */
export function maskPrefix(prefix: Prefix): Prefix {
  const addr = new Uint8Array(prefix.addr);
  for (let i = 0; i < addr.length; i++) {
    const keep = Math.min(8, Math.max(0, prefix.bits - 8 * i));
    addr[i] = addr[i]! & (0xff00 >> keep) & 0xff;
  }
  return { addr, bits: prefix.bits };
}

/** `1.2.3.4:80` or `[2001:db8::1]:80`; the address comes back canonical. */
export function parseAddrPort(text: string): { addr: string; port: number } | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const bracketed = match[1];
  const bytes = parseAddr(bracketed ?? match[2]!);
  const port = Number(match[3]);
  if (bytes === undefined || port > 65535) return undefined;
  if ((bytes.length === 16) !== (bracketed !== undefined)) return undefined;
  return { addr: formatAddr(bytes), port };
}

export function formatAddrPort(addr: string, port: number): string {
  return addr.includes(':') ? `[${addr}]:${port}` : `${addr}:${port}`;
}

/** fd7a:115c:a1e0::/48, from which nodes get their IPv6 addresses. */
export const TAILSCALE_ULA: Prefix = {
  addr: Uint8Array.of(0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  bits: 48,
};

/**
 * Whether control may have given this address to a node: 100.64.0.0/10 without ChromeOS's 100.115.92.0/23, or
 * fd7a:115c:a1e0::/48.
 */
export function isTailscaleAddr(bytes: Uint8Array): boolean {
  if (bytes.length !== 4) return prefixContains(TAILSCALE_ULA, bytes);
  if (bytes[0] !== 100 || (bytes[1]! & 0xc0) !== 64) return false;
  return !(bytes[1] === 115 && (bytes[2]! & 0xfe) === 92);
}
