import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressPair } from '../state/addresses.ts';
import type { NodeState } from '../state/tailnet.ts';
import { parsePolicy } from './policy.ts';
import { addressRanges } from './ranges.ts';
import { PolicyView } from './view.ts';

const LOGINS = ['', 'alice@x.org', 'bob@x.org', 'carol@x.org'];
const ALICE = 1;
const BOB = 2;
const CAROL = 3;

/** A node with only what policies look at. */
function node(id: number, owner: number | string): NodeState {
  const tagged = typeof owner === 'string';
  return {
    id,
    offset: id,
    ...addressPair(id),
    userId: tagged ? undefined : owner,
    tags: tagged ? [owner] : [],
  } as unknown as NodeState;
}

const laptop = node(1, ALICE);
const phone = node(2, BOB);
const tablet = node(3, CAROL);
const server = node(10, 'tag:srv');
const NODES = [laptop, phone, tablet, server];

function view(text: string | undefined, nodes: readonly NodeState[] = NODES): PolicyView {
  const policy = text === undefined ? undefined : parsePolicy(text);
  const made = new PolicyView(policy, 'Alice@x.org', (id) => LOGINS[id]);
  for (const each of nodes) made.update(each);
  return made;
}

const HEAD =
  '{"groups": {"group:g": ["bob@x.org"]}, "tagOwners": {"tag:srv": ["group:g"], "tag:db": ["tag:srv"]},';

// biome-ignore lint/suspicious/noExplicitAny: rules are compared as JSON
const filter = (made: PolicyView, of: NodeState): any => JSON.parse(made.filterOf(of));

const ALL = { First: 0, Last: 65535 };

test('without a policy everybody sees and reaches everybody; the owner is admin of the links', () => {
  const open = view(undefined);
  for (const a of NODES) for (const b of NODES) assert.ok(open.visible(a, b));
  const everything = { SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: ALL }] };
  assert.deepEqual(filter(open, server), [
    everything,
    {
      SrcIPs: ['100.64.0.1', 'fd7a:115c:a1e0::1'],
      CapGrant: [
        {
          Dsts: ['100.64.0.0/10', 'fd7a:115c:a1e0::/48'],
          CapMap: { 'tailscale.com/cap/golink': [{ admin: true }] },
        },
      ],
    },
  ]);
  assert.equal(open.filterOf(server), open.filterOf(phone));
  // Before the owner has a device, nobody is admin.
  assert.deepEqual(filter(view(undefined, [phone, server]), server), [everything]);
});

test('a written policy without rules allows everything and makes nobody admin', () => {
  const rules = filter(view(`${HEAD}}`), server);
  assert.deepEqual(rules, [{ SrcIPs: ['*'], DstPorts: [{ IP: '*', Ports: ALL }] }]);
});

test('an empty list of rules denies everything', () => {
  const closed = view(`${HEAD} "grants": []}`);
  assert.deepEqual(filter(closed, server), []);
  assert.ok(!closed.visible(laptop, server));
});

test('rules reach the nodes that are their destinations', () => {
  const made = view(
    `${HEAD} "acls": [{"action": "accept", "src": ["alice@x.org"], "dst": ["tag:srv:22,80"]}]}`,
  );
  assert.deepEqual(filter(made, server), [
    {
      SrcIPs: ['100.64.0.1', 'fd7a:115c:a1e0::1'],
      DstPorts: [
        { IP: '100.64.0.10', Ports: { First: 22, Last: 22 } },
        { IP: '100.64.0.10', Ports: { First: 80, Last: 80 } },
        { IP: 'fd7a:115c:a1e0::a', Ports: { First: 22, Last: 22 } },
        { IP: 'fd7a:115c:a1e0::a', Ports: { First: 80, Last: 80 } },
      ],
    },
  ]);
  assert.deepEqual(filter(made, phone), []);
  assert.ok(made.visible(laptop, server) && made.visible(server, laptop));
  assert.ok(!made.visible(phone, server) && !made.visible(laptop, phone));
});

test('members as sources become ranges; * as destination stays', () => {
  const made = view(
    `${HEAD} "acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["*:*"]}]}`,
  );
  const rule = {
    SrcIPs: ['100.64.0.1-100.64.0.3', 'fd7a:115c:a1e0::1-fd7a:115c:a1e0::3'],
    DstPorts: [{ IP: '*', Ports: ALL }],
  };
  assert.deepEqual(filter(made, server), [rule]);
  assert.deepEqual(filter(made, phone), [rule]);
});

test('* as source is what control hands out, without the hole', () => {
  const made = view(`${HEAD} "grants": [{"src": ["*"], "dst": ["tag:srv"], "ip": ["443"]}]}`);
  assert.deepEqual(filter(made, server)[0].SrcIPs, [
    '100.64.0.0-100.115.91.255',
    '100.115.94.0-100.127.255.255',
    'fd7a:115c:a1e0::/48',
  ]);
});

test('a grant of ports and a capability', () => {
  const made = view(
    `${HEAD} "grants": [{"src": ["group:g"], "dst": ["tag:srv"], "ip": ["tcp:443", "udp:53"], "app": {"x.org/cap/a": [{"role": "admin"}]}}]}`,
  );
  const SrcIPs = ['100.64.0.2', 'fd7a:115c:a1e0::2'];
  const ports = (port: number): unknown[] =>
    ['100.64.0.10', 'fd7a:115c:a1e0::a'].map((IP) => ({ IP, Ports: { First: port, Last: port } }));
  assert.deepEqual(filter(made, server), [
    { SrcIPs, DstPorts: ports(443), IPProto: [6] },
    { SrcIPs, DstPorts: ports(53), IPProto: [17] },
    {
      SrcIPs,
      CapGrant: [
        {
          Dsts: ['100.64.0.10/32', 'fd7a:115c:a1e0::a/128'],
          CapMap: { 'x.org/cap/a': [{ role: 'admin' }] },
        },
      ],
    },
  ]);
});

test('rules of the same sources and protocols become one, capabilities do not', () => {
  const made = view(
    `${HEAD} "grants": [{"src": ["group:g"], "dst": ["tag:srv"], "ip": ["80", "443"], "app": {"x.org/a": []}}, {"src": ["bob@x.org"], "dst": ["tag:srv"], "ip": ["22"], "app": {"x.org/b": []}}]}`,
  );
  const rules = filter(made, server);
  assert.deepEqual(
    rules[0].DstPorts.map((target: { Ports: { First: number } }) => target.Ports.First),
    [80, 80, 443, 443, 22, 22],
  );
  assert.equal(rules.length, 3);
});

test('a new, retagged or removed node changes the filters it is a source of, and their version', () => {
  const made = view(`${HEAD} "grants": [{"src": ["group:g"], "dst": ["tag:srv"], "ip": ["*"]}]}`, [
    laptop,
    server,
  ]);
  assert.deepEqual(filter(made, server), []);
  const before = made.version;
  made.update(phone);
  assert.ok(made.version > before);
  assert.deepEqual(filter(made, server)[0].SrcIPs, ['100.64.0.2', 'fd7a:115c:a1e0::2']);
  assert.ok(made.visible(phone, server));
  const other = node(4, CAROL);
  const between = made.version;
  made.update(other);
  assert.equal(made.version, between);
  made.remove(phone);
  assert.deepEqual(filter(made, server), []);
  assert.ok(!made.visible(phone, server));
});

test('who may give which tag', () => {
  const open = view(undefined);
  assert.ok(open.mayTag({ userId: ALICE, tags: [] }, true, 'tag:any'));
  assert.ok(!open.mayTag({ userId: BOB, tags: [] }, false, 'tag:any'));
  assert.ok(open.isTagKnown('tag:any'));
  const made = view(`${HEAD} "grants": []}`);
  assert.ok(made.mayTag({ userId: BOB, tags: [] }, false, 'tag:srv'));
  assert.ok(!made.mayTag({ userId: ALICE, tags: [] }, true, 'tag:srv'));
  assert.ok(!made.mayTag({ userId: BOB, tags: [] }, false, 'tag:db'));
  assert.ok(made.mayTag({ userId: undefined, tags: ['tag:srv'] }, false, 'tag:db'));
  assert.ok(!made.isTagKnown('tag:any'));
});

test('runs of addresses become prefixes when aligned, ranges otherwise', () => {
  assert.deepEqual(addressRanges([5, 4, 7, 6, 9, 12, 11]), [
    '100.64.0.4/30',
    '100.64.0.9',
    '100.64.0.11-100.64.0.12',
    'fd7a:115c:a1e0::4/126',
    'fd7a:115c:a1e0::9',
    'fd7a:115c:a1e0::b-fd7a:115c:a1e0::c',
  ]);
});

test('visibility and sources agree with a direct reading of the rules', () => {
  const selectors = [
    '*',
    'alice@x.org',
    'bob@x.org',
    'group:g',
    'tag:srv',
    'autogroup:member',
    'autogroup:tagged',
  ];
  const matches = (selector: string, of: NodeState): boolean => {
    const login = of.userId === undefined ? undefined : LOGINS[of.userId];
    if (selector === '*') return true;
    if (selector === 'autogroup:member') return login !== undefined;
    if (selector === 'autogroup:tagged') return login === undefined;
    if (selector === 'group:g') return login === 'bob@x.org';
    return selector === login || of.tags.includes(selector);
  };
  const side = fc.uniqueArray(fc.constantFrom(...selectors), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(fc.record({ src: side, dst: side }), { maxLength: 40 }), (grants) => {
      const text = `${HEAD} "grants": ${JSON.stringify(grants.map((each) => ({ ...each, ip: ['*'] })))}}`;
      const made = view(text);
      const allowed = (from: NodeState, to: NodeState): boolean =>
        grants.some(
          ({ src, dst }) =>
            src.some((each) => matches(each, from)) && dst.some((each) => matches(each, to)),
        );
      for (const a of NODES) {
        for (const b of NODES) {
          assert.equal(made.visible(a, b), allowed(a, b) || allowed(b, a));
          const sources = made.filterOf(b);
          if (allowed(a, b)) assert.notEqual(sources, '[]');
        }
      }
    }),
  );
});
