import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterRule, Node } from '@cove/protocol/tailcfg';
import { NodeTable } from '../nodetable.ts';
import { ALLOW_ALL, testMap, testNode } from '../testing/maps.ts';
import { relayNodes } from './relaynodes.ts';

const grant = (name: string, src = '100.64.0.2'): FilterRule => ({
  SrcIPs: [src],
  CapGrant: [{ Dsts: ['100.64.0.1/32'], CapMap: { [name]: [] } }],
});

const TARGET = 'tailscale.com/cap/relay-target';

function relays(
  rules: readonly FilterRule[],
  facts: Partial<Node> = { Cap: 121 },
  own: Partial<Node> = {},
): unknown[] | undefined {
  const map = testMap(testNode(1, own), [testNode(2, facts), testNode(3, { Cap: 121 })], {
    filterRules: [...ALLOW_ALL, ...rules],
  });
  const table = new NodeTable(false);
  table.setMap(map);
  return relayNodes(map, table.peers)?.map(({ node }) => node.ID);
}

test('a node with the capability at us relays for us, others do not', () => {
  assert.deepEqual(relays([grant(TARGET)]), [2]);
  assert.deepEqual(relays([grant(TARGET, '*')]), [2, 3]);
  assert.deepEqual(relays([]), []);
  assert.deepEqual(relays([grant('tailscale.com/cap/relay')]), [], 'that is the other direction');
});

test('a node that is too old, or outside the tailnet lock, does not relay for us', () => {
  assert.deepEqual(relays([grant(TARGET)], { Cap: 120 }), []);
  assert.deepEqual(relays([grant(TARGET)], {}), []);
  assert.deepEqual(relays([grant(TARGET)], { Cap: 121, UnsignedPeerAPIOnly: true }), []);
});

test('attributes of our own node keep it from all peer relays', () => {
  for (const name of ['disable-relay-client', 'only-tcp-443'])
    assert.equal(relays([grant(TARGET)], { Cap: 121 }, { CapMap: { [name]: [] } }), undefined);
});
