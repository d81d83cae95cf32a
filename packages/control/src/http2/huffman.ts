// Huffman code of HPACK (RFC 7541 appendix B). The code is canonical: codes of one length are consecutive in order
// of symbol, so the 257 lengths are the whole table.
import { Http2Error } from './errors.ts';

const EOS = 256;

/** Code length in bits per symbol, as runs `symbol count x length`. */
const LENGTHS: Uint8Array = Uint8Array.from(
  // biome-ignore format: one row per 32 symbols
  [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
  ],
);

/** Binary tree in an array: node n has children TREE[2n] and TREE[2n+1]; negative: leaf of symbol -1 - value. */
const TREE: Int16Array = buildTree();

function buildTree(): Int16Array {
  const tree = new Int16Array(2 * 257);
  let nodes = 1;
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      let node = 0;
      for (let bit = length - 1; bit >= 0; bit--) {
        const branch = 2 * node + ((code >>> bit) & 1);
        if (bit === 0) tree[branch] = -1 - symbol;
        else {
          if (tree[branch] === 0) tree[branch] = nodes++;
          node = tree[branch]!;
        }
      }
      code++;
    }
  }
  return tree;
}

/**
 * Decodes a string literal to Latin-1 text of at most `limit` characters. Throws Http2Error COMPRESSION_ERROR for EOS
 * inside, padding of 8 bits or more, or padding that is not all ones (section 5.2).
 */
export function decodeHuffman(bytes: Uint8Array, limit: number): string {
  let out = '';
  let node = 0;
  let depth = 0;
  let ones = true;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const branch = (byte >> bit) & 1;
      if (branch === 0) ones = false;
      depth++;
      const next = TREE[2 * node + branch]!;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (next === -1 - EOS) throw new Http2Error('COMPRESSION_ERROR', 'EOS inside a string');
      out += String.fromCharCode(-1 - next);
      if (out.length > limit) throw new Http2Error('ENHANCE_YOUR_CALM', 'header too long');
      node = 0;
      depth = 0;
      ones = true;
    }
  }
  if (depth > 7 || !ones) throw new Http2Error('COMPRESSION_ERROR', 'bad string padding');
  return out;
}
