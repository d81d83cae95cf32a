// Serving an app below a path (http://localhost:8080/go/) although its pages link to the root of their own name:
// root-relative links, form targets and redirects get the prefix; everything else passes unchanged.

const LINK_ATTRIBUTE = /(\s(?:href|src|action|formaction|poster)\s*=\s*["'])\/(?!\/)/gi;

/** Puts `prefix` (such as `/go`) before each root-relative link of an HTML page. */
export function rewriteHtml(html: string, prefix: string): string {
  return html.replace(LINK_ATTRIBUTE, `$1${prefix}/`);
}

/** A Location as the browser at the doorway must see it. `origin` is the app's own, such as `http://go`. */
export function rewriteLocation(location: string, origin: string, prefix: string): string {
  if (location.startsWith('/') && !location.startsWith('//')) return prefix + location;
  if (location === origin) return `${prefix}/`;
  if (location.startsWith(`${origin}/`)) return prefix + location.slice(origin.length);
  return location;
}
