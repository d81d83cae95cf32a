// What the relay counts, and its text for Prometheus.
import type { SenderCounters } from './framesender.ts';

export interface DerpCounters extends SenderCounters {
  accepted: number;
  refused: number;
  protocolErrors: number;
  packetsReceived: number;
  bytesReceived: number;
  packetsSent: number;
  bytesSent: number;
  droppedUnknownDestination: number;
  writeTimeouts: number;
  handshakeTimeouts: number;
  peerGoneSent: number;
  keepAlivesSent: number;
  pingsReceived: number;
  unknownFrames: number;
}

export interface DerpMetrics extends Readonly<DerpCounters> {
  readonly connections: number;
  readonly peers: number;
  readonly homeConnections: number;
  readonly duplicateConnections: number;
}

export function newCounters(): DerpCounters {
  return {
    accepted: 0,
    refused: 0,
    protocolErrors: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsSent: 0,
    bytesSent: 0,
    droppedUnknownDestination: 0,
    droppedQueueHead: 0,
    droppedControl: 0,
    writeTimeouts: 0,
    handshakeTimeouts: 0,
    peerGoneSent: 0,
    keepAlivesSent: 0,
    pingsReceived: 0,
    unknownFrames: 0,
  };
}

const GAUGES: ReadonlySet<string> = new Set([
  'connections',
  'peers',
  'homeConnections',
  'duplicateConnections',
]);

/** The Prometheus text format, names as `cove_derp_packets_received_total`. */
export function prometheusText(metrics: DerpMetrics): string {
  let out = '';
  for (const [name, value] of Object.entries(metrics)) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const gauge = GAUGES.has(name);
    const full = `cove_derp_${snake}${gauge ? '' : '_total'}`;
    out += `# TYPE ${full} ${gauge ? 'gauge' : 'counter'}\n${full} ${value}\n`;
  }
  return out;
}
