// What went over a link as a pcap file of raw IP packets (link type 101), and tshark's opinion of it.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Recorded {
  /** Milliseconds. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

const MAGIC = 0xa1b2c3d4;
const LINKTYPE_RAW = 101;

export function encodePcap(packets: readonly Recorded[]): Uint8Array {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(LINKTYPE_RAW, 20);
  const parts: Uint8Array[] = [head];
  for (const { at, bytes } of packets) {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(Math.floor(at / 1000), 0);
    record.writeUInt32LE(Math.floor((at % 1000) * 1000), 4);
    record.writeUInt32LE(bytes.length, 8);
    record.writeUInt32LE(bytes.length, 12);
    parts.push(record, bytes);
  }
  return Buffer.concat(parts);
}

export function hasTshark(): boolean {
  try {
    execFileSync('tshark', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Of the service at either end. */
const TEST_PORTS = [7000, 9000];

const BROKEN =
  '_ws.malformed || ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0 || icmp.checksum.status==0 || icmpv6.checksum.status==0';
/** What no sender and no receiver does on a link that loses and reorders nothing. */
const SUSPICIOUS = [
  'retransmission',
  'fast_retransmission',
  'spurious_retransmission',
  'out_of_order',
  'lost_segment',
  'ack_lost_segment',
  'duplicate_ack',
  'zero_window_probe',
]
  .map((name) => `tcp.analysis.${name}`)
  .join(' || ');

/**
 * One line for each packet of `senders` that tshark finds broken; with `lossless` for each of anybody's that only loss
 * explains, too. The kernel's are not for us to judge: one checksum in 65,536 it writes as ffff, which tshark wants as 0000.
 */
export function lint(
  packets: readonly Recorded[],
  senders: readonly string[],
  lossless: boolean,
): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'cove-pcap-'));
  try {
    const file = join(folder, 'link.pcap');
    writeFileSync(file, encodePcap(packets));
    const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
    // By its port number a packet can pass for one of some other protocol, and a broken one.
    const plain = TEST_PORTS.flatMap((port) => ['-d', `tcp.port==${port},data`]);
    const sent = senders.map((a) => `${a.includes(':') ? 'ipv6' : 'ip'}.src==${a}`).join(' || ');
    const broken = `(${sent}) && (${BROKEN})`;
    const filter = lossless ? `(${broken}) || ${SUSPICIOUS}` : broken;
    const fields = ['frame.number', 'ip.src', 'ipv6.src', '_ws.expert.message'];
    const { status, stdout, stderr } = spawnSync(
      'tshark',
      [
        ...['-r', file],
        ...checks,
        ...plain,
        ...['-Y', filter, '-T', 'fields'],
        ...fields.flatMap((f) => ['-e', f]),
      ],
      { encoding: 'utf8', maxBuffer: 64 << 20 },
    );
    if (status !== 0) throw new Error(`tshark: ${stderr}`);
    return stdout.split('\n').filter((line) => line !== '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
