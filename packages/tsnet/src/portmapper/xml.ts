// The elements of an XML document that hold nothing but text, in document order: all that UPnP's descriptions and
// answers say, they say in such. Total and linear for any input. Namespaces, attributes, the document type and
// entities of one's own are ignored; nesting is told only by the ends of the elements around.

export type XmlEvent =
  /** An element began; its name has no namespace prefix. */
  | { readonly type: 'open'; readonly name: string }
  /** An element ended; text is its own when no element was inside, else empty. */
  | { readonly type: 'close'; readonly name: string; readonly text: string };

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]{2,4}));/g,
    (whole, dec, hex, name) => {
      if (name !== undefined) return ENTITIES[name] ?? whole;
      const code = dec !== undefined ? Number(dec) : Number.parseInt(hex, 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

export function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** `<u:Name attr="...">`'s content between the angles -> `Name`. */
function localName(tag: string): string {
  const name = /^[^\s/]*/.exec(tag)![0];
  return name.slice(name.indexOf(':') + 1);
}

/** What follows a construct that ends with `end`, or the end of the text if it never does. */
function after(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from);
  return at < 0 ? text.length : at + end.length;
}

/** Stops quietly where the text is cut. */
export function* readXml(text: string): Generator<XmlEvent, void, undefined> {
  let at = 0;
  /** Text since the last tag; undefined once a tag closed, until the next opens. */
  let collected: string | undefined;
  while (at < text.length) {
    const angle = text.indexOf('<', at);
    if (angle < 0) return;
    if (collected !== undefined) collected += unescapeXml(text.slice(at, angle));
    if (text.startsWith('<!--', angle)) {
      at = after(text, '-->', angle + 4);
    } else if (text.startsWith('<![CDATA[', angle)) {
      at = after(text, ']]>', angle + 9);
      if (collected !== undefined) collected += text.slice(angle + 9, at - 3);
    } else if (text[angle + 1] === '!' || text[angle + 1] === '?') {
      at = after(text, '>', angle);
    } else {
      const close = text.indexOf('>', angle);
      if (close < 0) return;
      const tag = text.slice(angle + 1, close);
      at = close + 1;
      if (tag.startsWith('/')) {
        yield { type: 'close', name: localName(tag.slice(1)), text: (collected ?? '').trim() };
        collected = undefined;
      } else {
        yield { type: 'open', name: localName(tag) };
        collected = '';
        if (tag.endsWith('/')) {
          yield { type: 'close', name: localName(tag), text: '' };
          collected = undefined;
        }
      }
    }
  }
}
