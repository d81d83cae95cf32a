// Changes to an input: bits, bytes, numbers, words of a dictionary, pieces moved, removed, repeated, taken from another input.
import type { Random } from './random.ts';

const INTERESTING = [0, 1, 2, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 192, 254, 255];
const INTERESTING_16 = [0, 1, 0x7f, 0xff, 0x100, 0x3ff, 0x7fff, 0x8000, 0xfffe, 0xffff];
const INTERESTING_32 = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x10000, 0xffff];

export interface Material {
  readonly random: Random;
  readonly words: readonly Uint8Array[];
  readonly maxLength: number;
  /** Another input of the corpus. */
  readonly other: Uint8Array;
}

/** A changed copy of `input`, at most `maxLength` long. */
export function mutate(input: Uint8Array, material: Material): Uint8Array {
  let bytes: Uint8Array = input.slice();
  const { random } = material;
  for (let n = 1 << random.below(5); n > 0; n--) bytes = change(bytes, material);
  return bytes.length > material.maxLength ? bytes.subarray(0, material.maxLength) : bytes;
}

function change(bytes: Uint8Array, { random, words, other }: Material): Uint8Array {
  const { length } = bytes;
  const at = random.below(length + 1);
  const kind = random.below(length === 0 ? 3 : 13);
  switch (kind) {
    case 0: {
      const added = new Uint8Array(1 + random.below(random.below(4) === 0 ? 64 : 8));
      for (let i = 0; i < added.length; i++) added[i] = random.u32() >>> 13;
      return splice(bytes, at, 0, added);
    }
    case 1:
      if (words.length > 0) return splice(bytes, at, 0, words[random.below(words.length)]!);
      return splice(bytes, at, 0, Uint8Array.of(INTERESTING[random.below(INTERESTING.length)]!));
    case 2: {
      const from = random.below(other.length + 1);
      const piece = other.subarray(from, from + 1 + random.below(other.length - from + 1));
      return splice(bytes, at, random.below(2) * piece.length, piece);
    }
    case 3:
      return splice(bytes, at, 1 + random.below(random.below(4) === 0 ? length : 8), EMPTY);
    case 4: {
      const from = random.below(length);
      return splice(bytes, at, 0, bytes.slice(from, from + 1 + random.below(length - from)));
    }
    case 5:
      if (words.length > 0) {
        const word = words[random.below(words.length)]!;
        return splice(bytes, at, word.length, word);
      }
      break;
    case 6:
      return bytes.subarray(0, at);
  }
  const i = random.below(length);
  switch (kind) {
    case 7:
      bytes[i]! ^= 1 << random.below(8);
      break;
    case 8:
      bytes[i] = INTERESTING[random.below(INTERESTING.length)]!;
      break;
    case 9:
      bytes[i]! += random.below(33) - 16;
      break;
    case 10:
      put(bytes, i, 2, INTERESTING_16[random.below(INTERESTING_16.length)]!, random);
      break;
    case 11:
      put(bytes, i, 4, INTERESTING_32[random.below(INTERESTING_32.length)]!, random);
      break;
    default:
      bytes[i] = random.u32() >>> 9;
  }
  return bytes;
}

const EMPTY: Uint8Array = new Uint8Array(0);

function splice(bytes: Uint8Array, at: number, remove: number, add: Uint8Array): Uint8Array {
  const rest = Math.min(at + remove, bytes.length);
  const out = new Uint8Array(at + add.length + bytes.length - rest);
  out.set(bytes.subarray(0, at));
  out.set(add, at);
  out.set(bytes.subarray(rest), at + add.length);
  return out;
}

function put(bytes: Uint8Array, at: number, size: number, value: number, random: Random): void {
  const little = random.below(4) === 0;
  for (let i = 0; i < size && at + i < bytes.length; i++) {
    bytes[at + i] = value >>> (8 * (little ? i : size - 1 - i));
  }
}
