// The flows this node opened, remembered so that their replies pass the filter: an LRU of 512 UDP and SCTP
// 5-tuples without a time limit, in typed arrays, so that noting a flow allocates nothing.
import type { PacketHeader } from './header.ts';

const CAPACITY = 512;
const BUCKETS = 1024;
const NONE = -1;
/** family << 8 | protocol, near port << 16 | far port, near address, far address. */
const WORDS = 10;

export class FlowTable {
  readonly #keys: Uint32Array = new Uint32Array(CAPACITY * WORDS);
  readonly #bucket: Int16Array = new Int16Array(BUCKETS).fill(NONE);
  /** Next entry of the same bucket. */
  readonly #chain: Int16Array = new Int16Array(CAPACITY).fill(NONE);
  /** Use order, newest first. */
  readonly #older: Int16Array = new Int16Array(CAPACITY).fill(NONE);
  readonly #newer: Int16Array = new Int16Array(CAPACITY).fill(NONE);
  #newest = NONE;
  #oldest = NONE;
  #size = 0;
  readonly #probe: Uint32Array = new Uint32Array(WORDS);

  get size(): number {
    return this.#size;
  }

  /** Remembers the flow of a packet that leaves. */
  noteOutbound(p: PacketHeader): void {
    const k = this.#probe;
    k[0] = (p.family << 8) | p.protocol;
    k[1] = ((p.srcPort << 16) | p.dstPort) >>> 0;
    k[2] = p.src0;
    k[3] = p.src1;
    k[4] = p.src2;
    k[5] = p.src3;
    k[6] = p.dst0;
    k[7] = p.dst1;
    k[8] = p.dst2;
    k[9] = p.dst3;
    const hash = hashOf(k);
    const found = this.#find(hash);
    if (found !== NONE) this.#touch(found);
    else this.#insert(hash);
  }

  /** Is the packet that arrives the reverse of a remembered flow? Asking counts as use. */
  isReply(p: PacketHeader): boolean {
    const k = this.#probe;
    k[0] = (p.family << 8) | p.protocol;
    k[1] = ((p.dstPort << 16) | p.srcPort) >>> 0;
    k[2] = p.dst0;
    k[3] = p.dst1;
    k[4] = p.dst2;
    k[5] = p.dst3;
    k[6] = p.src0;
    k[7] = p.src1;
    k[8] = p.src2;
    k[9] = p.src3;
    const found = this.#find(hashOf(k));
    if (found === NONE) return false;
    this.#touch(found);
    return true;
  }

  #find(hash: number): number {
    const k = this.#probe;
    const keys = this.#keys;
    for (let entry = this.#bucket[hash]!; entry !== NONE; entry = this.#chain[entry]!) {
      const at = entry * WORDS;
      let i = 0;
      while (i < WORDS && keys[at + i] === k[i]) i++;
      if (i === WORDS) return entry;
    }
    return NONE;
  }

  #insert(hash: number): void {
    let entry = this.#size;
    if (entry < CAPACITY) this.#size++;
    else {
      entry = this.#oldest;
      this.#unlink(entry);
      this.#unchain(entry);
    }
    this.#keys.set(this.#probe, entry * WORDS);
    this.#chain[entry] = this.#bucket[hash]!;
    this.#bucket[hash] = entry;
    this.#link(entry);
  }

  #touch(entry: number): void {
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#link(entry);
  }

  #link(entry: number): void {
    this.#older[entry] = this.#newest;
    this.#newer[entry] = NONE;
    if (this.#newest !== NONE) this.#newer[this.#newest] = entry;
    this.#newest = entry;
    if (this.#oldest === NONE) this.#oldest = entry;
  }

  #unlink(entry: number): void {
    const older = this.#older[entry]!;
    const newer = this.#newer[entry]!;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }

  #unchain(entry: number): void {
    const hash = hashOf(this.#keys.subarray(entry * WORDS, entry * WORDS + WORDS));
    let at = this.#bucket[hash]!;
    if (at === entry) {
      this.#bucket[hash] = this.#chain[entry]!;
      return;
    }
    while (this.#chain[at] !== entry) at = this.#chain[at]!;
    this.#chain[at] = this.#chain[entry]!;
  }
}

function hashOf(k: Uint32Array): number {
  let h = 0;
  for (let i = 0; i < WORDS; i++) h = Math.imul(h ^ k[i]!, 0x9e3779b1) ^ (h >>> 15);
  return (h ^ (h >>> 16)) & (BUCKETS - 1);
}
