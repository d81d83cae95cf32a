// Mappings by NAT-PMP (RFC 6886).
import { type Answer, asker } from './ask.ts';
import { ASKING, LEAVING, PROBING } from './exchange.ts';
import {
  type Attempt,
  type Gateway,
  isReachable,
  type Lease,
  LIFETIME,
  type Surroundings,
} from './lease.ts';
import {
  encodeExternalAddressRequest,
  encodeMapRequest,
  type NatPmpResponse,
  parseNatPmpResponse,
} from './natpmp.ts';
import { parsePcpResponse } from './pcp.ts';

const ask = asker('nat-pmp', parseNatPmpResponse, parsePcpResponse);

/** Whether the gateway speaks NAT-PMP and maps. */
export async function probeNatPmp(
  env: Surroundings,
  gateway: Gateway,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await ask(
    env,
    gateway,
    encodeExternalAddressRequest(),
    ({ type }) => type === 'external-address',
    PROBING,
    signal,
  );
  return typeof answer === 'object' && answer.type === 'external-address';
}

function failure(answer: Answer<NatPmpResponse>): Attempt {
  if (answer === undefined) return { failed: 'silent', detail: 'no answer' };
  if (answer === 'other-protocol') return { failed: 'refused', detail: 'speaks PCP only' };
  return answer.type === 'error'
    ? { failed: 'refused', detail: `result ${answer.result}` }
    : { failed: 'refused', detail: 'no mapping' };
}

/** suggestedPort: 0, or the external port held before. Does not reject. */
export async function mapNatPmp(
  env: Surroundings,
  gateway: Gateway,
  internalPort: number,
  suggestedPort: number,
  signal: AbortSignal,
): Promise<Attempt> {
  // One after the other: a gateway need not take two at once. The address also tells whether mapping is worth it.
  const external = await ask(
    env,
    gateway,
    encodeExternalAddressRequest(),
    ({ type }) => type === 'external-address',
    ASKING,
    signal,
  );
  if (typeof external !== 'object' || external.type !== 'external-address')
    return failure(external);
  if (!isReachable(external.address, gateway)) {
    return { failed: 'unusable', detail: `external address ${external.address}` };
  }
  const answer = await ask(
    env,
    gateway,
    encodeMapRequest({ internalPort, suggestedPort, lifetime: LIFETIME }),
    (map) => map.type === 'map' && map.internalPort === internalPort,
    ASKING,
    signal,
  );
  if (typeof answer !== 'object' || answer.type !== 'map') return failure(answer);
  if (answer.externalPort === 0 || answer.lifetime === 0) {
    return { failed: 'unusable', detail: 'mapping without port or lifetime' };
  }
  const lease: Lease = {
    protocol: 'nat-pmp',
    externalAddress: external.address,
    externalPort: answer.externalPort,
    lifetime: answer.lifetime,
    renew: (renewal) => mapNatPmp(env, gateway, internalPort, answer.externalPort, renewal),
    release: async (leaving) => {
      await ask(
        env,
        gateway,
        encodeMapRequest({ internalPort, suggestedPort: 0, lifetime: 0 }),
        (map) => map.type === 'map' && map.internalPort === internalPort,
        LEAVING,
        leaving,
      );
    },
  };
  return { lease };
}
