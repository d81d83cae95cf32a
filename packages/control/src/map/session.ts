// POST /machine/map: streams, updates of a node's own state, single reads.
//
//   Stream  OmitPeers  ReadOnly
//   yes     -          -          full map, then deltas until the client leaves
//   no      yes        no         state stored, empty 200
//   no      no         no         state stored, one full map
//   no      -          yes        one full map, nothing stored
import { isZeroKey, type MachinePublic } from '@cove/protocol/keys';
import type { MapRequest } from '@cove/protocol/mapmessage';
import type { Core, Report } from '../core.ts';
import type { BodyStream, Exchange } from '../http2/exchange.ts';
import { MIN_CAP_VERSION } from '../login/register.ts';
import type { NodeState } from '../state/tailnet.ts';
import { MapStream } from './stream.ts';

const EMPTY: Uint8Array = new Uint8Array(0);

/** Answers the request; `refuse` is called instead when it is not served. True if it came from a node we know. */
export function serveMap(
  core: Core,
  machine: MachinePublic,
  request: MapRequest,
  exchange: Exchange,
  refuse: (status: number, text: string) => void,
): boolean {
  if (request.Version < MIN_CAP_VERSION) {
    refuse(400, `unsupported client version ${request.Version}`);
    return false;
  }
  const node = core.tailnet.nodeByKey(request.NodeKey);
  if (node === undefined || node.machineKey !== machine) {
    refuse(404, 'node not found');
    return false;
  }
  const stream = request.Stream === true;
  if (stream || request.ReadOnly !== true) {
    if (!core.report(node, reportOf(request, stream))) {
      refuse(400, 'hostinfo too large');
      return true;
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
  return true;
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
