// Names of relays. The system's resolver has two threads for all lookups of a process, takes as long as it takes and
// cannot be told to stop: where nobody answers it, who asks again waits for the lookup under way instead of adding one.
import { lookup } from 'node:dns/promises';

const pending = new Map<string, Promise<string>>();

/** The first address of a family as the system's resolver has it. Rejects as dns.lookup does. */
export function lookupAddress(host: string, family: 4 | 6): Promise<string> {
  const key = `${family} ${host}`;
  let found = pending.get(key);
  if (found === undefined) {
    found = lookup(host, { family }).then(({ address }) => address);
    pending.set(key, found);
    const forget = (): void => void pending.delete(key);
    found.then(forget, forget);
  }
  return found;
}
