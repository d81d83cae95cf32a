// Mappings by PCP (RFC 6887).
import { equalBytes } from '@cove/protocol/bytes';
import { ASKING, exchange, LEAVING, type Patience, PROBING } from './exchange.ts';
import {
  type Attempt,
  type Gateway,
  isReachable,
  type Lease,
  LIFETIME,
  type Surroundings,
} from './lease.ts';
import { parseNatPmpResponse } from './natpmp.ts';
import {
  encodeAnnounceRequest,
  encodePcpMapRequest,
  type PcpResponse,
  parsePcpResponse,
} from './pcp.ts';

type Answer = PcpResponse | 'other-protocol' | undefined;

async function ask(
  env: Surroundings,
  gateway: Gateway,
  request: Uint8Array,
  wanted: (answer: PcpResponse) => boolean,
  patience: Patience,
  signal: AbortSignal,
): Promise<Answer> {
  const answer = await exchange<Exclude<Answer, undefined>>(
    env,
    gateway,
    request,
    (bytes) => {
      const parsed = parsePcpResponse(bytes);
      if (parsed) return parsed.type === 'error' || wanted(parsed) ? parsed : undefined;
      // A gateway of NAT-PMP only refuses our version in its own (RFC 6887 appendix A).
      return parseNatPmpResponse(bytes)?.type === 'error' ? 'other-protocol' : undefined;
    },
    patience,
    signal,
  );
  if (typeof answer === 'object') env.epoch('pcp', answer.epoch);
  return answer;
}

/** Whether the gateway speaks PCP to us. */
export async function probePcp(
  env: Surroundings,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await ask(
    env,
    gateway,
    encodeAnnounceRequest(gateway.self),
    ({ type }) => type === 'announce',
    PROBING,
    signal,
  );
  return typeof answer === 'object' && answer.type === 'announce';
}

/**
 * nonce: 12 bytes, the same for as long as the internal port is mapped. suggestedPort: 0, or the external port held
 * before. Does not reject.
 */
export function mapPcp(
  env: Surroundings,
  gateway: Gateway,
  nonce: Uint8Array,
  internalPort: number,
  suggestedPort: number,
  signal: AbortSignal,
): Promise<Attempt> {
  const request = (port: number, address: string, lifetime: number): Uint8Array =>
    encodePcpMapRequest({
      client: gateway.self,
      nonce,
      internalPort,
      suggestedPort: port,
      suggestedAddress: address,
      lifetime,
    });
  // Another's mapping has another nonce.
  const ours = (answer: PcpResponse): boolean =>
    answer.type === 'map' &&
    answer.internalPort === internalPort &&
    equalBytes(answer.nonce, nonce);

  const attempt = async (port: number, address: string, asked: AbortSignal): Promise<Attempt> => {
    const answer = await ask(env, gateway, request(port, address, LIFETIME), ours, ASKING, asked);
    if (answer === undefined) return { failed: 'silent', detail: 'no answer' };
    if (answer === 'other-protocol') return { failed: 'refused', detail: 'speaks NAT-PMP only' };
    if (answer.type !== 'map') {
      const detail = answer.type === 'error' ? `result ${answer.result}` : 'no mapping';
      return { failed: 'refused', detail };
    }
    const { externalAddress, externalPort, lifetime } = answer;
    const lease: Lease = {
      protocol: 'pcp',
      externalAddress,
      externalPort,
      lifetime,
      renew: (renewal) => attempt(externalPort, externalAddress, renewal),
      release: async (leaving) => {
        await ask(env, gateway, request(externalPort, externalAddress, 0), ours, LEAVING, leaving);
      },
    };
    if (externalPort === 0 || lifetime === 0 || !isReachable(externalAddress, gateway)) {
      if (lifetime !== 0) await lease.release(asked);
      return { failed: 'unusable', detail: `mapping to ${externalAddress} port ${externalPort}` };
    }
    return { lease };
  };
  return attempt(suggestedPort, '0.0.0.0', signal);
}
