// Simple case mapping: one code point to one code point, without regard to its neighbours.

export function toLower(text: string): string {
  return mapCase(text, (char) => (char === '\u0130' ? 'i' : char.toLowerCase()));
}

export function toUpper(text: string): string {
  return mapCase(text, (char) => {
    const upper = char.toUpperCase();
    // Greek letters with an iota below have one of one code point as well, 8 or 9 places behind them.
    return upper.length > char.length ? (iotaUpper(char) ?? upper) : upper;
  });
}

function iotaUpper(char: string): string | undefined {
  const code = char.codePointAt(0)!;
  return [code + 8, code + 9]
    .map((c) => String.fromCodePoint(c))
    .find((c) => c.toLowerCase() === char);
}

function mapCase(text: string, map: (char: string) => string): string {
  if (/^[\u0000-\u007f]*$/.test(text)) return map(text);
  let out = '';
  for (const char of text) {
    const mapped = map(char);
    out += [...mapped].length === 1 ? mapped : char;
  }
  return out;
}
