// Numbers as written: integers in four bases, floating point in two, `_` between digits.
import type { NumberLiteral } from './syntax.ts';

/** `complex`: a number the language has and this does not. Undefined for what is no number, or too large for any. */
export function readNumber(text: string): NumberLiteral | 'complex' | undefined {
  if (text.endsWith('i')) return 'complex';
  const isHex = /^[+-]?0[xX]/.test(text);
  const digits = isHex
    ? text.replace(/(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])/g, '')
    : text.replace(/(?<=[0-9]|^[+-]?0[oObB])_(?=[0-9])/g, '');
  const negative = digits.startsWith('-');
  const bare = digits.replace(/^[+-]/, '');
  const written = readInteger(bare);
  if (written !== undefined && written < 1n << 64n) {
    const value = negative ? -written : written;
    const fits = value >= -(1n << 63n) && value < 1n << 63n;
    if (!fits && /^[+-]/.test(text)) return undefined;
    // With its sign, a hexadecimal number with an e in it counts as floating point.
    const float = /^[+-].*[eE]/.test(text) ? Number(value) : undefined;
    return { integer: fits ? value : undefined, float };
  }
  const size = isHex ? readHexFloat(bare) : readDecimal(bare);
  if (size === undefined || !Number.isFinite(size) || !/[.eEpP]/.test(bare)) return undefined;
  const float = negative ? -size : size;
  const isWhole = Number.isInteger(float) && Math.abs(float) < 2 ** 63;
  return { float, integer: isWhole ? BigInt(float) : undefined };
}

function readInteger(bare: string): bigint | undefined {
  if (/^0[0-7]+$/.test(bare)) return BigInt(`0o${bare.slice(1)}`);
  return /^(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0|[1-9][0-9]*)$/.test(bare)
    ? BigInt(bare)
    : undefined;
}

function readDecimal(bare: string): number | undefined {
  return /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/.test(bare) ? Number(bare) : undefined;
}

function readHexFloat(bare: string): number | undefined {
  const match = /^0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?[0-9]{1,6})$/.exec(bare);
  if (match === null) return undefined;
  const [, whole, fraction, power] = match as unknown as [string, string, string, string];
  if (whole === '' && fraction === '') return undefined;
  return Number(BigInt(`0x0${whole}${fraction}`)) * 2 ** (Number(power) - 4 * fraction.length);
}
