import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { binding } from './binding.ts';

interface Offload {
  offloadSplit(frame: Uint8Array, room: number): Uint8Array[] | null;
  offloadJoin(packets: Uint8Array[]): Uint8Array[];
}

const native = binding() as Offload | undefined;
const skip = native?.offloadJoin === undefined ? 'the addon is not built' : false;
const VNET = 10;

const sum = (bytes: Uint8Array, start = 0): number => {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
};

interface Facts {
  readonly v6?: boolean;
  readonly seq: number;
  readonly data: Uint8Array;
  readonly flags?: number;
  readonly ack?: number;
  readonly options?: number;
  readonly port?: number;
}

/** A TCP segment with right checksums (RFC 9293 3.1). */
function segment({ v6 = false, seq, data, flags = 0x10, ack = 1, options = 12, port = 80 }: Facts) {
  const ip = v6 ? 40 : 20;
  const out = new Uint8Array(ip + 20 + options + data.length);
  const view = new DataView(out.buffer);
  if (v6) {
    out.set([0x60, 0, 0, 0, 0, 0, 6, 64]);
    view.setUint16(4, out.length - 40);
    for (let i = 8; i < 40; i++) out[i] = i;
  } else {
    out.set([0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2]);
    view.setUint16(2, out.length);
    view.setUint16(10, ~sum(out.subarray(0, 20)));
  }
  view.setUint16(ip, 4000);
  view.setUint16(ip + 2, port);
  view.setUint32(ip + 4, seq);
  view.setUint32(ip + 8, ack);
  out[ip + 12] = ((20 + options) / 4) << 4;
  out[ip + 13] = flags;
  view.setUint16(ip + 14, 500);
  out.fill(1, ip + 20, ip + 20 + options);
  out.set(data, ip + 20 + options);
  const pseudo = sum(out.subarray(v6 ? 8 : 12, ip), 6 + out.length - ip);
  view.setUint16(ip + 16, ~sum(out.subarray(ip), pseudo));
  return out;
}

/** Identification apart, which a train numbers through, and with it the header's checksum. */
function comparable(packet: Uint8Array): string {
  const copy = packet.slice();
  if (copy[0]! >> 4 === 4) copy.fill(0, 4, 6).fill(0, 10, 12);
  return Buffer.from(copy).toString('hex');
}

const run = (count: number, size: number, v6 = false): Uint8Array[] =>
  Array.from({ length: count }, (_, i) =>
    segment({ v6, seq: (0xffffff00 + i * size) >>> 0, data: new Uint8Array(size).fill(i) }),
  );

test('segments of a flow leave as one train, and the kernel cuts it into the same segments', {
  skip,
}, () => {
  for (const v6 of [false, true]) {
    const packets = run(40, 1228, v6);
    const frames = native!.offloadJoin(packets);
    assert.equal(frames.length, 1);
    const [frame] = frames;
    assert.equal(frame![0], 1, 'the checksum is to be completed');
    assert.equal(frame![1], v6 ? 4 : 1, 'virtio: TCP over this family');
    assert.equal(new DataView(frame!.buffer).getUint16(4, true), 1228);
    const back = native!.offloadSplit(frame!, 1300)!;
    assert.deepEqual(back.map(comparable), packets.map(comparable));
    if (!v6) assert.deepEqual([back[0]![5], back[39]![5]], [7, 46]);
    for (const packet of back) if (!v6) assert.equal(sum(packet.subarray(0, 20)), 0xffff);
  }
});

test('whatever comes in whichever order is the same after joining and cutting', { skip }, () => {
  const packet = fc.record({
    step: fc.constantFrom('next', 'gap', 'again'),
    size: fc.constantFrom(1, 99, 1228, 1228, 1228),
    flags: fc.constantFrom(0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x90),
    v6: fc.constantFrom(false, false, false, true),
    port: fc.constantFrom(80, 80, 80, 81),
    ack: fc.constantFrom(1, 1, 1, 2),
    damage: fc.constantFrom(-1, -1, -1, -1, -1, 16, 30, 60),
  });
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 80 }), (steps) => {
      let seq = 0xfffff000;
      const packets = steps.map(({ step, size, flags, v6, port, ack, damage }) => {
        if (step === 'gap') seq += 5000;
        const out = segment({
          seq: seq >>> 0,
          data: new Uint8Array(size).fill(size),
          flags,
          v6,
          port,
          ack,
        });
        if (step !== 'again') seq += size;
        if (damage >= 0 && damage < out.length) out[damage]! ^= 4;
        return out;
      });
      const back = native!
        .offloadJoin(packets)
        .flatMap((frame) => native!.offloadSplit(frame, 2000)!);
      assert.deepEqual(back.map(comparable), packets.map(comparable));
    }),
    { numRuns: 300 },
  );
});

test('a wrong checksum is never made right: the packet goes alone', { skip }, () => {
  const packets = run(3, 1000);
  packets[1]![100]! ^= 1;
  const frames = native!.offloadJoin(packets);
  assert.equal(frames.length, 3);
  assert.deepEqual([...frames[1]!.subarray(0, VNET)], new Array(VNET).fill(0));
  assert.deepEqual([...frames[1]!.subarray(VNET)], [...packets[1]!]);
});

test('a shorter or pushed segment ends its train; nothing beyond 65535 bytes is joined', {
  skip,
}, () => {
  const data = (size: number) => new Uint8Array(size);
  const short = [
    segment({ seq: 0, data: data(1000) }),
    segment({ seq: 1000, data: data(10) }),
    segment({ seq: 1010, data: data(1000) }),
  ];
  assert.equal(native!.offloadJoin(short).length, 2);
  const pushed = [
    segment({ seq: 0, data: data(1000), flags: 0x18 }),
    segment({ seq: 1000, data: data(1000) }),
  ];
  assert.equal(native!.offloadJoin(pushed).length, 2);
  const frames = native!.offloadJoin(run(100, 1228));
  assert.equal(frames.length, 2);
  assert.ok(frames.every(({ length }) => length <= VNET + 65535));
});

test('UDP trains of the kernel are cut too, and a lone packet gets its checksum', { skip }, () => {
  const header = Uint8Array.from([
    0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2,
  ]);
  const udp = (size: number): Uint8Array => {
    const out = new Uint8Array(VNET + 28 + size);
    out.set(header, VNET);
    const view = new DataView(out.buffer);
    view.setUint16(VNET + 2, 28 + size);
    view.setUint16(VNET + 20, 4000);
    view.setUint16(VNET + 22, 443);
    view.setUint16(VNET + 24, 8 + size);
    for (let i = 0; i < size; i++) out[VNET + 28 + i] = i;
    return out;
  };
  const isRight = (packet: Uint8Array): boolean =>
    sum(packet.subarray(20), sum(packet.subarray(12, 20), 17 + packet.length - 20)) === 0xffff;
  const train = udp(2500);
  train.set([1, 5, 28, 0, 0xe8, 0x03, 20, 0, 6, 0]);
  const packets = native!.offloadSplit(train, 1280)!;
  assert.deepEqual(
    packets.map(({ length }) => length - 28),
    [1000, 1000, 500],
  );
  assert.ok(packets.every(isRight));
  assert.equal(new DataView(packets[2]!.buffer).getUint16(24), 508);
  const lone = udp(100);
  lone.set([1, 0, 0, 0, 0, 0, 20, 0, 6, 0]);
  // The kernel leaves the pseudo header's sum in the field.
  new DataView(lone.buffer).setUint16(
    VNET + 26,
    sum(lone.subarray(VNET + 12, VNET + 20), 17 + 108),
  );
  assert.ok(isRight(native!.offloadSplit(lone, 1280)![0]!));
});

test('frames that contradict themselves are refused, and packets that do not fit are left out', {
  skip,
}, () => {
  const [frame] = native!.offloadJoin(run(4, 1228));
  assert.deepEqual(native!.offloadSplit(frame!, 1279), []);
  assert.equal(native!.offloadSplit(frame!.subarray(0, 29), 1280), null);
  for (const [at, value] of [
    [1, 3],
    [4, 0],
    [6, 21],
    [7, 99],
    [VNET, 0x55],
    [VNET + 32, 0x10],
    [VNET + 32, 0xf0],
  ] as const) {
    const bad = frame!.slice();
    bad[at] = value;
    if (at === 4) bad[5] = 0;
    const result = native!.offloadSplit(bad, 1280);
    assert.ok(result === null || at === VNET + 32, `byte ${at}`);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const result = native!.offloadSplit(bytes, 1280);
      assert.ok(result === null || result.every(({ length }) => length <= 1280));
    }),
  );
});
