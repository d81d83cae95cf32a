import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALL_PORTS, type PacketRule, parsePolicy } from './policy.ts';

/** A policy text with these sections beside a group and a tag. */
const policy = (sections: string): string =>
  `{"groups": {"group:eng": ["bob@x.org", "Carol@x.org"]}, "tagOwners": {"tag:srv": ["group:eng"]}, ${sections}}`;

const grant = (members: string): string => policy(`"grants": [{${members}}]`);
const acl = (members: string): string => policy(`"acls": [{${members}}]`);

for (const [name, text, place, message] of [
  ['unknown section', policy('"ssh": []'), 'ssh', 'ssh is not supported by this server'],
  ['hosts', policy('"hosts": {}'), 'hosts', 'hosts is not supported by this server'],
  ['tests', policy('"tests": []'), 'tests', 'tests is not supported by this server'],
  ['no object', '[]', '', 'object expected'],
  ['group name', '{"groups": {"eng": []}}', 'groups.eng', 'group names begin with "group:"'],
  [
    'group in a group',
    '{"groups": {"group:a": ["group:b"]}}',
    'groups.group:a[0]',
    'group members cannot be recursive',
  ],
  [
    'member without @',
    '{"groups": {"group:a": ["bob"]}}',
    'groups.group:a[0]',
    'username must contain @',
  ],
  [
    'tag name',
    '{"tagOwners": {"tag:1": []}}',
    'tagOwners.tag:1',
    "tag names must start with a letter, after 'tag:'",
  ],
  [
    'tag owner',
    '{"tagOwners": {"tag:a": ["tag:b"]}}',
    'tagOwners.tag:a[0]',
    'tag not found: "tag:b"',
  ],
  [
    'undeclared tag',
    grant('"src": ["tag:x"], "dst": ["*"], "ip": ["*"]'),
    'grants[0].src[0]',
    'tag not found: "tag:x"',
  ],
  [
    'undeclared group',
    grant('"src": ["*"], "dst": ["group:x"], "ip": ["*"]'),
    'grants[0].dst[0]',
    'group:x: group not defined in policy',
  ],
  [
    'autogroup',
    grant('"src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]'),
    'grants[0].dst[0]',
    'autogroup:self is not supported by this server',
  ],
  [
    'address',
    grant('"src": ["10.0.0.1"], "dst": ["*"], "ip": ["*"]'),
    'grants[0].src[0]',
    '"10.0.0.1" is not supported: use *, user@domain, group:, tag:, autogroup:member or autogroup:tagged',
  ],
  [
    'no ip, no app',
    grant('"src": ["*"], "dst": ["*"]'),
    'grants[0]',
    'ip and app can not both be empty',
  ],
  [
    'nothing in ip and app',
    grant('"src": ["*"], "dst": ["*"], "ip": [], "app": {}'),
    'grants[0]',
    'ip and app can not both be empty',
  ],
  ['no dst', grant('"src": ["*"], "ip": ["*"]'), 'grants[0].dst', 'missing'],
  [
    'via',
    grant('"src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["tag:srv"]'),
    'grants[0].via',
    'not supported by this server',
  ],
  [
    'two colons',
    grant('"src": ["*"], "dst": ["*"], "ip": ["tcp:1:2"]'),
    'grants[0].ip[0]',
    'expected only one colon in Internet protocol and port type',
  ],
  [
    'ports of ICMP',
    grant('"src": ["*"], "dst": ["*"], "ip": ["icmp:80"]'),
    'grants[0].ip[0]',
    'protocol does not support specific ports',
  ],
  [
    'protocol name',
    grant('"src": ["*"], "dst": ["*"], "ip": ["quic:*"]'),
    'grants[0].ip[0]',
    'protocol "quic" not known; use a name or a number from 1 to 255',
  ],
  [
    'capability name',
    grant('"src": ["*"], "dst": ["*"], "app": {"https://a.b/c": []}'),
    'grants[0].app.https://a.b/c',
    'capability name must have the form {domain}/{path}',
  ],
  [
    'arguments',
    grant('"src": ["*"], "dst": ["*"], "app": {"a.b/c": {}}'),
    'grants[0].app.a.b/c',
    'list expected',
  ],
  [
    'deny',
    acl('"action": "deny", "src": ["*"], "dst": ["*:*"]'),
    'acls[0].action',
    'action="deny" is not supported',
  ],
  [
    'no port',
    acl('"action": "accept", "src": ["*"], "dst": ["*"]'),
    'acls[0].dst[0]',
    'input must contain a colon character separating destination and port',
  ],
  [
    'port 0',
    acl('"action": "accept", "src": ["*"], "dst": ["*:0"]'),
    'acls[0].dst[0]',
    "first port must be >0, or use '*' for wildcard",
  ],
  [
    'inverted range',
    acl('"action": "accept", "src": ["*"], "dst": ["*:9-1"]'),
    'acls[0].dst[0]',
    'invalid port range: first port is greater than last port',
  ],
  [
    'port above the range',
    acl('"action": "accept", "src": ["*"], "dst": ["*:1-70000"]'),
    'acls[0].dst[0]',
    'port above 65535',
  ],
  [
    'leading zero',
    acl('"action": "accept", "src": ["*"], "dst": ["*:*"], "proto": "06"'),
    'acls[0].proto',
    'leading 0 not permitted in protocol number',
  ],
  [
    'posture',
    acl('"action": "accept", "src": ["*"], "dst": ["*:*"], "srcPosture": []'),
    'acls[0].srcPosture',
    'not supported by this server',
  ],
] as const) {
  test(`refused, with its place: ${name}`, () => {
    assert.throws(
      () => parsePolicy(text),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_POLICY');
        const match = /^line \d+:\d+(?: \((.*?)\))?: (.*)$/s.exec(error.message)!;
        assert.equal(match[1] ?? '', place);
        assert.equal(match[2], message);
        return true;
      },
    );
  });
}

test('the place has line and column', () => {
  assert.throws(() => parsePolicy('{\n  "grants": [\n    {"src": ["nobody"]}\n  ]\n}'), {
    message: /^line 3:14 \(grants\[0\]\.src\[0\]\): /,
  });
});

test('an empty text and a text without rules allow everything', () => {
  assert.equal(parsePolicy('').rules, undefined);
  assert.equal(parsePolicy('{}').rules, undefined);
  assert.deepEqual(parsePolicy('{"acls": []}').rules, []);
});

test('a grant makes one rule per entry of ip, then one for its capabilities', () => {
  const { rules } = parsePolicy(
    grant(
      '"src": ["bob@X.org"], "dst": ["tag:srv"], "ip": ["tcp:443", "udp:53-54", "80"], "app": {"x.org/cap/a": [{"r": 1}]}',
    ),
  );
  assert.deepEqual(
    rules!.map((rule) =>
      rule.type === 'packets' ? [rule.protocols, rule.dst[0]!.ports] : [...rule.caps],
    ),
    [
      [[6], [[443, 443]]],
      [[17], [[53, 54]]],
      [undefined, [[80, 80]]],
      [['x.org/cap/a', '[{"r":1}]']],
    ],
  );
  assert.deepEqual(rules![0]!.src, [{ type: 'user', loginName: 'bob@x.org' }]);
});

test('grants come before acls, whatever their order in the file', () => {
  const { rules } = parsePolicy(
    policy(
      '"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:srv:22,80-90", "group:eng:*"], "#note": "x"}], "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]',
    ),
  );
  const [first, second] = rules as PacketRule[];
  assert.deepEqual(first!.dst, [{ selector: { type: 'any' }, ports: [ALL_PORTS] }]);
  assert.deepEqual(second!.dst, [
    {
      selector: { type: 'tag', tag: 'tag:srv' },
      ports: [
        [22, 22],
        [80, 90],
      ],
    },
    { selector: { type: 'group', members: ['bob@x.org', 'carol@x.org'] }, ports: [ALL_PORTS] },
  ]);
});

test('an acl without sources or destinations makes no rule', () => {
  assert.deepEqual(parsePolicy(acl('"action": "accept", "src": [], "dst": ["*:*"]')).rules, []);
});

test('folder sharing tells its destinations about the sources by a reversed rule', () => {
  const { rules } = parsePolicy(
    grant(
      '"src": ["bob@x.org"], "dst": ["tag:srv"], "app": {"tailscale.com/cap/drive": [{"shares": ["*"]}]}',
    ),
  );
  assert.equal(rules!.length, 2);
  assert.deepEqual(rules![1]!.src, [{ type: 'tag', tag: 'tag:srv' }]);
  const reversed = rules![1]!;
  assert.ok(reversed.type === 'caps' && reversed.caps.has('tailscale.com/cap/drive-sharer'));
});
