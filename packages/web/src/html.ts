// HTML that is escaped by construction. A template literal tagged `html` escapes whatever is interpolated; only
// values that are Html already (made by `html` or `raw`) pass as they are.
//
// Two mistakes that escaping alone does not stop are caught here too: an interpolation into an unquoted attribute
// is a TypeError, and a URL attribute never receives a scheme that runs script.

/** A piece of trusted markup. */
export class Html {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  toString(): string {
    return this.#text;
  }
}

/** What may stand between `${` and `}`: null, undefined and false print nothing. */
export type HtmlValue = Html | string | number | boolean | null | undefined | readonly HtmlValue[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return /[&<>"']/.test(text) ? text.replace(/[&<>"']/g, (c) => ESCAPES[c]!) : text;
}

/** Marks a string as markup. Only for text written in the source, never for anything that came from outside. */
export function raw(trusted: string): Html {
  return new Html(trusted);
}

/** Builds markup; throws TypeError for an interpolation into an unquoted attribute. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const kinds = kindsOf(strings);
  let text = strings[0]!;
  for (let i = 0; i < values.length; i++) {
    const value = kinds[i] === 'url' ? safeUrl(values[i]) : values[i];
    text += render(value) + strings[i + 1]!;
  }
  return new Html(text);
}

type Kind = 'text' | 'url';
const kindsByTemplate = new WeakMap<TemplateStringsArray, readonly Kind[]>();

function kindsOf(strings: TemplateStringsArray): readonly Kind[] {
  let kinds = kindsByTemplate.get(strings);
  if (kinds === undefined) {
    kinds = strings.slice(0, -1).map((before) => {
      if (/=\s*$/.test(before) && /<[^>]*$/.test(before))
        throw new TypeError(`unquoted attribute before an interpolation: ...${before.slice(-40)}`);
      return /\b(?:href|src|action|formaction)\s*=\s*["']$/i.test(before) ? 'url' : 'text';
    });
    kindsByTemplate.set(strings, kinds);
  }
  return kinds;
}

function render(value: HtmlValue): string {
  if (value === null || value === undefined || value === false || value === true) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'string') return escapeHtml(value);
  if (typeof value === 'number') return String(value);
  return value.map(render).join('');
}

function safeUrl(value: HtmlValue): HtmlValue {
  return typeof value === 'string' && !isSafeUrl(value) ? '#' : value;
}

/**
 * True when a browser may be sent to this address by a click: relative, or of a scheme that cannot run script here.
 * Follows the URL standard in ignoring leading control characters and spaces, and tabs and newlines anywhere.
 */
export function isSafeUrl(url: string): boolean {
  const cleaned = url.replace(/[\t\n\r]/g, '').replace(/^[\u0000-\u0020]+/, '');
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(cleaned)?.[1]?.toLowerCase();
  return scheme === undefined || !SCRIPT_SCHEMES.has(scheme);
}

/** Schemes whose content would run, or pass as ours, in the page that links to them. */
const SCRIPT_SCHEMES: ReadonlySet<string> = new Set([
  'javascript',
  'vbscript',
  'data',
  'blob',
  'filesystem',
  'view-source',
]);
