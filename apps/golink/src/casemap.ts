// Simple case mapping: one code point to one code point, without regard to its neighbours.

export function toLower(text: string): string {
  return mapCase(text, (char) => (char === '\u0130' ? 'i' : char.toLowerCase()));
}

export function toUpper(text: string): string {
  return mapCase(text, (char) => char.toUpperCase());
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
