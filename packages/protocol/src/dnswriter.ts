// Writes the sections of a DNS message (the layouts stand in dns.ts), with name compression (RFC 1035 section
// 4.1.4) and a limit after which whole records are left out.
import { ProtocolError } from './bytes.ts';
import type { DnsData, DnsQuestion, DnsRecord } from './dns.ts';
import { nameLabels } from './dnsname.ts';

export class DnsWriter {
  limit: number;
  full = false;
  #bytes: Uint8Array = new Uint8Array(512);
  /** The 12-byte header is left for the caller to fill in. */
  #length = 12;
  /** Name suffix, as text of its labels -> offset of its first place. */
  readonly #places = new Map<string, number>();

  constructor(limit: number) {
    this.limit = limit;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  question(question: DnsQuestion): void {
    this.#name(question.name, true);
    this.#u16(question.type);
    this.#u16(question.class);
    if (this.#length > this.limit) throw new ProtocolError('ERR_TOO_LARGE', 'DNS question');
  }

  /** Writes records until one does not fit; returns how many are written. */
  section(records: readonly DnsRecord[]): number {
    let count = 0;
    for (const record of records) {
      if (this.full) break;
      const before = this.#length;
      this.#record(record);
      if (this.#length > this.limit) {
        this.#length = before;
        for (const [suffix, at] of this.#places) if (at >= before) this.#places.delete(suffix);
        this.full = true;
        break;
      }
      count++;
    }
    return count;
  }

  #record(record: DnsRecord): void {
    this.#name(record.name, true);
    this.#u16(record.type);
    this.#u16(record.class);
    this.#u32(record.ttl);
    this.#u16(0);
    const start = this.#length;
    this.#data(record.data);
    const length = this.#length - start;
    if (length > 0xffff) throw new ProtocolError('ERR_TOO_LARGE', 'data of a DNS record');
    this.#bytes[start - 2] = length >> 8;
    this.#bytes[start - 1] = length;
  }

  #data(data: DnsData): void {
    switch (data.kind) {
      case 'address':
        this.#put(data.addr);
        return;
      case 'name':
        this.#name(data.target, true);
        return;
      case 'mx':
        this.#u16(data.preference);
        this.#name(data.target, true);
        return;
      case 'srv':
        this.#u16(data.priority);
        this.#u16(data.weight);
        this.#u16(data.port);
        // RFC 2782: not compressed.
        this.#name(data.target, false);
        return;
      case 'txt':
        for (const string of data.strings) {
          if (string.length > 255) throw new ProtocolError('ERR_TOO_LARGE', 'TXT string');
          this.#put(Uint8Array.of(string.length));
          this.#put(string);
        }
        return;
      case 'soa':
        this.#name(data.primary, true);
        this.#name(data.mailbox, true);
        this.#u32(data.serial);
        this.#u32(data.refresh);
        this.#u32(data.retry);
        this.#u32(data.expire);
        this.#u32(data.minimum);
        return;
      case 'raw':
        this.#put(data.bytes);
        return;
      default:
        data satisfies never;
    }
  }

  #name(name: string, compress: boolean): void {
    const labels = nameLabels(name);
    for (let i = 0; i < labels.length; i++) {
      // A label may hold any byte; the length in front keeps two lists of labels from looking alike.
      const suffix = labels
        .slice(i)
        .map((label) => `${label.length}:${String.fromCharCode(...label)}`)
        .join('');
      const place = this.#places.get(suffix);
      if (compress && place !== undefined) {
        this.#u16(0xc000 | place);
        return;
      }
      if (place === undefined && this.#length < 0x4000) this.#places.set(suffix, this.#length);
      this.#put(Uint8Array.of(labels[i]!.length));
      this.#put(labels[i]!);
    }
    this.#put(Uint8Array.of(0));
  }

  #u16(value: number): void {
    this.#put(Uint8Array.of(value >> 8, value));
  }

  #u32(value: number): void {
    this.#put(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  #put(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = needed;
  }
}
