// POST /machine/map: streams, updates of a node's own state, single reads.
//
//   Stream  OmitPeers  ReadOnly
//   yes     -          -          full map, then deltas until the client leaves
//   no      yes        no         state stored, empty 200
//   no      no         no         state stored, one full map
//   no      -          yes        one full map, nothing stored
//
// A node key nobody has is 404, but on a stream request a map that calls it expired: a client never registers again
// because of a failed map request, only because a map says so. The key of another machine is always 404.
import { isZeroKey, type MachinePublic } from '@cove/protocol/keys';
import type { MapRequest } from '@cove/protocol/mapmessage';
import type { Core, Report } from '../core.ts';
import type { BodyStream, Exchange } from '../http2/exchange.ts';
import { MIN_CAP_VERSION } from '../login/register.ts';
import { labelOf } from '../state/names.ts';
import type { NodeState } from '../state/tailnet.ts';
import { MapMessage } from './frame.ts';
import { timeText } from './nodejson.ts';
import { MapStream } from './stream.ts';

const EMPTY: Uint8Array = new Uint8Array(0);

/** Expired for clients whose clock is behind ours too. */
const LONG_AGO_MS = 24 * 3_600_000;
/** How long the stream of an unknown node stays. */
const FAREWELL_MS = 60_000;

/** Who got a map; undefined: nobody, `refuse` was called. */
export type Served = 'node' | 'stranger' | undefined;

/** Answers the request; `refuse` is called instead when it is not served, or not as it asks. */
export function serveMap(
  core: Core,
  machine: MachinePublic,
  request: MapRequest,
  exchange: Exchange,
  refuse: (status: number, text: string) => void,
): Served {
  if (request.Version < MIN_CAP_VERSION) {
    refuse(400, `unsupported client version ${request.Version}`);
    return undefined;
  }
  const node = core.tailnet.nodeByKey(request.NodeKey);
  const stream = request.Stream === true;
  if (node === undefined && stream && !isZeroKey(request.NodeKey)) {
    const body = exchange.stream();
    body.write(expiredMap(core, machine, request).frame(request.Compress === 'zstd'));
    // A client may give its new login up when the stream ends, so that it would begin again and again.
    const timer = setTimeout(() => body.end(), FAREWELL_MS);
    timer.unref();
    exchange.onClose = () => clearTimeout(timer);
    return 'stranger';
  }
  if (node === undefined || node.machineKey !== machine) {
    refuse(404, 'node not found');
    return undefined;
  }
  if (stream || request.ReadOnly !== true) {
    if (!core.report(node, reportOf(request, stream))) {
      refuse(400, 'hostinfo too large');
      return 'node';
    }
  }
  if (stream) openStream(core, node, request, exchange);
  else if (request.OmitPeers === true && request.ReadOnly !== true) exchange.reply(200, '', EMPTY);
  else {
    const body = exchange.stream();
    const once = mapStream(node, request, body);
    once.send(core.hub.fullMap(once));
    once.end();
  }
  return 'node';
}

/** Nothing but the client's own node as one that must log in again; says no more than the client knows. */
function expiredMap(core: Core, machine: MachinePublic, request: MapRequest): MapMessage {
  const now = core.options.now();
  const node = {
    ID: 1,
    // Clients keep their profiles by it: not empty, and not the same for two.
    StableID: `n${request.NodeKey.slice('nodekey:'.length).slice(0, 16)}`,
    Name: `${labelOf(request.Hostinfo?.Hostname ?? '')}.`,
    Key: request.NodeKey,
    KeyExpiry: timeText(now - LONG_AGO_MS),
    Machine: machine,
    Addresses: [],
    AllowedIPs: [],
    Endpoints: [],
    Hostinfo: {},
    Created: timeText(now - LONG_AGO_MS),
    MachineAuthorized: false,
    Expired: true,
  };
  return new MapMessage(Buffer.from(JSON.stringify({ Node: node, ControlTime: timeText(now) })));
}

function mapStream(node: NodeState, request: MapRequest, body: BodyStream): MapStream {
  return new MapStream({
    node,
    body,
    zstd: request.Compress === 'zstd',
    capVersion: request.Version,
  });
}

function openStream(core: Core, node: NodeState, request: MapRequest, exchange: Exchange): void {
  const stream = mapStream(node, request, exchange.stream());
  exchange.onClose = () => {
    if (core.hub.close(stream)) core.presence.left(node);
  };
  core.presence.joined(node);
  core.hub.open(stream);
}

/**
 * What the request says, as far as it counts. On a stream request zero and empty values mean that the client says
 * nothing; in an update of a client that reports itself in full, no endpoints means it has none.
 */
function reportOf(request: MapRequest, stream: boolean): Report {
  const full = request.Hostinfo?.OS !== undefined;
  const endpoints = request.Endpoints ?? [];
  return {
    capVersion: request.Version,
    discoKey: isZeroKey(request.DiscoKey) ? undefined : request.DiscoKey,
    endpoints: endpoints.length > 0 || (full && !stream) ? endpoints : undefined,
    hostinfo: request.Hostinfo,
  };
}
