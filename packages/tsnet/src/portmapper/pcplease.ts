// Mappings by PCP (RFC 6887).
import { equalBytes } from '@cove/protocol/bytes';
import { asker } from './ask.ts';
import { ASKING, LEAVING, PROBING } from './exchange.ts';
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

const ask = asker('pcp', parsePcpResponse, parseNatPmpResponse);

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
