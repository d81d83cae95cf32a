// The packet cipher in WebAssembly with SIMD (assembly/), and slabs in its memory for callers who want their
// packets sealed where they lie. Packets elsewhere are copied in and out, which costs a tenth.
import { fromBase64 } from '@cove/protocol/bytes';
import { type PacketCipher, TAG_LENGTH } from '@cove/protocol/crypto';
import { noblePacketCipher } from '@cove/protocol/nobleciphers';
import { WASM_BASE64 } from './wasmbytes.ts';

const PAGE = 65536;
/** 16 MiB, for good: growing would detach every view handed out. */
const PAGES = 256;
const KEY_LENGTH = 32;
// As assembly/layout.ts has it: the key first, packets from elsewhere behind the scratch, then the slabs.
const KEY = 0;
const STAGING = 1024;
const SLABS: number = 2 * PAGE;
const STAGING_LENGTH: number = SLABS - STAGING;
const SLAB_ALIGNMENT = 64;

/** What this file uses of the WebAssembly namespace, which Node's types leave to the browser's. */
declare const WebAssembly:
  | {
      validate(code: Uint8Array): boolean;
      Memory: new (limits: {
        initial: number;
        maximum: number;
      }) => { readonly buffer: ArrayBuffer };
      Module: new (code: Uint8Array) => object;
      Instance: new (module: object, imports: object) => { readonly exports: unknown };
    }
  | undefined;

interface Exports {
  seal(ptr: number, length: number, counterLo: number, counterHi: number): void;
  open(ptr: number, length: number, counterLo: number, counterHi: number): number;
}

/** Memory from which the cipher works without copying. */
export interface SlabAllocator {
  /**
   * Zeroed bytes, in the cipher's memory while there is room and in ordinary memory otherwise: both serve.
   * Throws RangeError unless bytes is a positive integer.
   */
  allocSlab(bytes: number): Uint8Array;
  /**
   * Wipes a slab of allocSlab and gives its memory back; the caller keeps no view of it. Throws RangeError for
   * other parts of that memory, as after a second call for the same slab.
   */
  freeSlab(slab: Uint8Array): void;
}

export interface WasmPacketCipher extends PacketCipher, SlabAllocator {}

/** First-fit over a sorted list of holes; slabs are few and large. */
class SlabHeap implements SlabAllocator {
  readonly #heap: Uint8Array;
  readonly #used = new Map<number, number>();
  #holes: { readonly start: number; readonly end: number }[];

  constructor(heap: Uint8Array, start: number) {
    this.#heap = heap;
    this.#holes = [{ start, end: heap.length }];
  }

  allocSlab(bytes: number): Uint8Array {
    if (!Number.isInteger(bytes) || bytes < 1) throw new RangeError(`slab of ${bytes} bytes`);
    const length = Math.ceil(bytes / SLAB_ALIGNMENT) * SLAB_ALIGNMENT;
    const index = this.#holes.findIndex((hole) => hole.end - hole.start >= length);
    const hole = this.#holes[index];
    if (hole === undefined) return new Uint8Array(bytes);
    const rest = { start: hole.start + length, end: hole.end };
    this.#holes.splice(index, 1, ...(rest.start < rest.end ? [rest] : []));
    this.#used.set(hole.start, length);
    return this.#heap.subarray(hole.start, hole.start + bytes);
  }

  freeSlab(slab: Uint8Array): void {
    if (slab.buffer !== this.#heap.buffer) {
      slab.fill(0);
      return;
    }
    const start = slab.byteOffset;
    const length = this.#used.get(start);
    if (length === undefined) throw new RangeError('not a slab in use');
    this.#used.delete(start);
    this.#heap.fill(0, start, start + length);
    const holes = [...this.#holes, { start, end: start + length }];
    holes.sort((a, b) => a.start - b.start);
    this.#holes = [];
    for (const hole of holes) {
      const last = this.#holes.at(-1);
      if (last?.end === hole.start) this.#holes.splice(-1, 1, { start: last.start, end: hole.end });
      else this.#holes.push(hole);
    }
  }
}

function instantiate(): WasmPacketCipher | undefined {
  if (typeof WebAssembly === 'undefined') return undefined;
  const code = fromBase64(WASM_BASE64);
  if (!WebAssembly.validate(code)) return undefined;
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } });
  const wasm = instance.exports as Exports;
  const heap = new Uint8Array(memory.buffer);
  const heapBuffer = heap.buffer;
  const slabs = new SlabHeap(heap, SLABS);
  const large = noblePacketCipher();
  return {
    seal(key, counterLo, counterHi, buf, offset, length) {
      if (key.length !== KEY_LENGTH) throw new RangeError(`key of ${key.length} bytes`);
      if (offset < 0 || length < 0 || offset + length + TAG_LENGTH > buf.length) {
        throw new RangeError('no room for the tag');
      }
      if (buf.buffer === heapBuffer) {
        heap.set(key, KEY);
        wasm.seal(buf.byteOffset + offset, length, counterLo, counterHi);
      } else if (length + TAG_LENGTH <= STAGING_LENGTH) {
        heap.set(key, KEY);
        heap.set(buf.subarray(offset, offset + length), STAGING);
        wasm.seal(STAGING, length, counterLo, counterHi);
        buf.set(heap.subarray(STAGING, STAGING + length + TAG_LENGTH), offset);
      } else {
        large.seal(key, counterLo, counterHi, buf, offset, length);
      }
    },
    open(key, counterLo, counterHi, buf, offset, length) {
      if (key.length !== KEY_LENGTH) throw new RangeError(`key of ${key.length} bytes`);
      const text = length - TAG_LENGTH;
      if (offset < 0 || text < 0 || offset + length > buf.length) return false;
      if (buf.buffer === heapBuffer) {
        heap.set(key, KEY);
        return wasm.open(buf.byteOffset + offset, text, counterLo, counterHi) === 1;
      }
      if (length > STAGING_LENGTH) {
        return large.open(key, counterLo, counterHi, buf, offset, length);
      }
      heap.set(key, KEY);
      heap.set(buf.subarray(offset, offset + length), STAGING);
      if (wasm.open(STAGING, text, counterLo, counterHi) === 0) return false;
      buf.set(heap.subarray(STAGING, STAGING + text), offset);
      return true;
    },
    allocSlab: (bytes) => slabs.allocSlab(bytes),
    freeSlab: (slab) => slabs.freeSlab(slab),
  };
}

let shared: WasmPacketCipher | undefined | null = null;

/**
 * The cipher of this thread, undefined where WebAssembly or its SIMD is missing. There is one: every WebAssembly
 * memory reserves gigabytes of address space, and hundreds of nodes may live in one process.
 */
export function wasmPacketCipher(): WasmPacketCipher | undefined {
  if (shared === null) shared = instantiate();
  return shared;
}
