// Where the targets are: beside the decoders, one list in each package.
import type { FuzzTarget } from '@cove/protocol/testing/fuzztarget';

const PACKAGES = [
  'packages/protocol',
  'packages/netstack',
  'packages/wireguard',
  'packages/control',
  'packages/tsnet',
  'apps/golink',
];

/** All targets, by import of each package's testing/fuzz.js. */
export async function loadTargets(): Promise<FuzzTarget[]> {
  const lists = await Promise.all(
    PACKAGES.map(async (name) => {
      const url = new URL(`../../../${name}/dist/testing/fuzz.js`, import.meta.url);
      return ((await import(url.href)) as { targets: FuzzTarget[] }).targets;
    }),
  );
  return lists.flat();
}
