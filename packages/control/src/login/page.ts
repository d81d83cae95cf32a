// The page behind an AuthURL: which login waits, and the command with which its owner approves it. No script, no
// form: deciding needs the server's command line, not a browser that happens to know the URL.
import type { PendingLogin } from './pending.ts';

export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

const STYLE =
  ':root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;' +
  'padding:0 1rem}code{display:block;padding:.75rem 1rem;border:1px solid;border-radius:.4rem;' +
  'overflow-wrap:anywhere;font:15px/1.4 ui-monospace,monospace}dt{font-weight:600}dd{margin:0 0 .5rem}';

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

function page(title: string, body: string): string {
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>` +
    '<meta name="viewport" content="width=device-width,initial-scale=1">' +
    `<style>${STYLE}</style></head><body><main><h1>${title}</h1>${body}</main></body></html>\n`
  );
}

export function approvalPage(login: PendingLogin): string {
  const hostname = login.hostinfo.Hostname || 'without a name';
  const os = login.hostinfo.OS || 'unknown';
  return page(
    'Add this device',
    '<p>To let it join, run this on the machine of the control server, then come back to the device:</p>' +
      `<code>cove node approve ${escapeHtml(login.id)}</code>` +
      `<dl><dt>Device</dt><dd>${escapeHtml(hostname)}</dd><dt>System</dt><dd>${escapeHtml(os)}</dd>` +
      `<dt>Waits until</dt><dd>${new Date(login.expires).toUTCString()}</dd></dl>` +
      '<p>If you did not ask for this, do nothing.</p>',
  );
}

export function unknownLoginPage(): string {
  return page(
    'No such login',
    '<p>This login was approved, was refused, or has expired. Start it again on the device.</p>',
  );
}
