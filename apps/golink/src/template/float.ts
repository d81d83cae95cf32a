// Floating point in decimal and hexadecimal, exactly rounded, halves to even.

interface Digits {
  /** Without leading zeros. */
  readonly digits: string;
  /** The value is 0.digits times ten to this. */
  readonly point: number;
}

/** `e` `f` `g` `x` or `b`; precision -1 is the fewest digits that give the number back. Size only: no sign. */
export function formatFloat(value: number, verb: string, precision: number): string {
  const size = Math.abs(value);
  switch (verb) {
    case 'f':
      return precision < 0 ? fixed(shortest(size)) : fixedExact(size, precision);
    case 'e':
      return exponential(
        precision < 0 ? shortest(size) : significant(size, precision + 1),
        precision,
      );
    case 'x':
      return hexadecimal(size, precision);
    case 'b':
      return binary(size);
  }
  const found = precision < 0 ? shortest(size) : significant(size, precision || 1);
  const digits = found.digits.replace(/0+$/, '');
  const count = digits.length;
  if (count === 0) return '0';
  let limit = precision < 0 ? 6 : precision || 1;
  if (precision >= 0 && limit > count && count >= found.point) limit = count;
  const exponent = found.point - 1;
  const trimmed = { digits, point: found.point };
  return exponent < -4 || exponent >= limit
    ? exponential(trimmed, Math.max(0, count - 1))
    : fixed(trimmed);
}

function shortest(size: number): Digits {
  if (size === 0) return { digits: '', point: 0 };
  const [mantissa, exponent] = size.toExponential().split('e') as [string, string];
  return { digits: mantissa.replace('.', ''), point: Number(exponent) + 1 };
}

/** Mantissa and power of two, exact. */
function parts(size: number): { mantissa: bigint; power: number } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, size);
  const bits = view.getBigUint64(0);
  const exponent = Number(bits >> 52n) & 0x7ff;
  const fraction = bits & ((1n << 52n) - 1n);
  return exponent === 0
    ? { mantissa: fraction, power: -1074 }
    : { mantissa: fraction | (1n << 52n), power: exponent - 1075 };
}

/** size times ten to `power`, to an integer. */
function scaled(size: number, power: number): bigint {
  const { mantissa, power: two } = parts(size);
  let above = mantissa;
  let below = 1n;
  if (power >= 0) above *= 10n ** BigInt(power);
  else below *= 10n ** BigInt(-power);
  if (two >= 0) above <<= BigInt(two);
  else below <<= BigInt(-two);
  return divided(above, below);
}

function divided(above: bigint, below: bigint): bigint {
  const whole = above / below;
  const twice = (above % below) * 2n;
  return twice > below || (twice === below && (whole & 1n) === 1n) ? whole + 1n : whole;
}

/** No number has more digits: what comes behind them is zeros. */
const MOST_DIGITS = 1_100;

function fixedExact(size: number, wanted: number): string {
  const precision = Math.min(wanted, MOST_DIGITS);
  const text = String(scaled(size, precision)).padStart(precision + 1, '0');
  const point = text.length - precision;
  if (precision === 0) return text;
  return `${text.slice(0, point)}.${text.slice(point)}${'0'.repeat(wanted - precision)}`;
}

/** `wanted` digits, or as many as there are. */
function significant(size: number, wanted: number): Digits {
  const count = Math.min(wanted, MOST_DIGITS);
  if (size === 0) return { digits: '0'.repeat(count), point: 1 };
  let point = shortest(size).point;
  for (;;) {
    const digits = String(scaled(size, count - point));
    if (digits.length === count) return { digits, point };
    point += digits.length - count;
  }
}

function exponential({ digits, point }: Digits, precision: number): string {
  const shown = digits === '' ? '0' : digits;
  const rest = shown.slice(1).padEnd(Math.max(0, precision), '0');
  const exponent = digits === '' ? 0 : point - 1;
  const sign = exponent < 0 ? '-' : '+';
  return `${shown[0]}${rest === '' ? '' : `.${rest}`}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function fixed({ digits, point }: Digits): string {
  if (digits === '') return '0';
  if (point <= 0) return `0.${'0'.repeat(-point)}${digits}`;
  if (digits.length <= point) return digits.padEnd(point, '0');
  return `${digits.slice(0, point)}.${digits.slice(point)}`;
}

function binary(size: number): string {
  const { mantissa, power } = parts(size);
  return `${mantissa}p${power < 0 ? '-' : '+'}${Math.abs(power)}`;
}

function hexadecimal(size: number, precision: number): string {
  let { mantissa, power } = parts(size);
  if (mantissa === 0n) power = 0;
  else {
    // One bit before the point, 52 behind it.
    while (mantissa < 1n << 52n) {
      mantissa <<= 1n;
      power--;
    }
    power += 52;
  }
  let digits = 13;
  if (precision >= 0 && precision < 13) {
    mantissa = divided(mantissa, 1n << BigInt(52 - 4 * precision));
    digits = precision;
    if (mantissa >> BigInt(4 * precision) === 2n) {
      mantissa >>= 1n;
      power++;
    }
  }
  const text = mantissa.toString(16).padStart(digits + 1, '0');
  let rest = text.slice(1);
  rest = precision < 0 ? rest.replace(/0+$/, '') : rest.padEnd(precision, '0');
  const sign = power < 0 ? '-' : '+';
  return `0x${text[0]}${rest === '' ? '' : `.${rest}`}p${sign}${String(Math.abs(power)).padStart(2, '0')}`;
}
