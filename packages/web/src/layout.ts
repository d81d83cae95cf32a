// The frame of every page: head, skip link, header with the caller's name, main, footer.
import type { WhoIs } from '@cove/tsnet';
import type { Assets } from './assets.ts';
import { MARK_SVG } from './favicon.ts';
import { type Html, type HtmlValue, html, raw } from './html.ts';
import { isTagged } from './identity.ts';
import { imageOrigin } from './security.ts';

export interface NavItem {
  readonly label: string;
  readonly href: string;
  /** This is the page being shown. */
  readonly current?: boolean;
}

export interface PageOptions {
  /** Of the document; the brand is appended. */
  readonly title: string;
  /** Name of the service, shown beside the mark. */
  readonly brand: string;
  /** Where the brand leads; `/` unless given. */
  readonly home?: string;
  readonly nav?: readonly NavItem[];
  readonly caller: WhoIs | undefined;
  readonly main: Html;
  /** Further elements for the head, for instance an OpenSearch link. */
  readonly head?: HtmlValue;
  readonly footer?: HtmlValue;
}

/** The whole document. */
export function page(assets: Assets, options: PageOptions): string {
  const { title, brand, home = '/', nav = [], caller, main, head, footer } = options;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title === brand ? brand : `${title} · ${brand}`}</title>
<link rel="stylesheet" href="${assets.url('base.css')}">
<link rel="icon" type="image/svg+xml" href="${assets.url('favicon.svg')}">
<link rel="alternate icon" type="image/png" href="${assets.url('favicon.png')}">
${head}
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<div class="bar">
<a class="brand" href="${home}">${raw(MARK_SVG)}<span>${brand}</span></a>
${nav.length > 0 && html`<nav aria-label="Main">${nav.map((item) => html`<a href="${item.href}"${item.current && raw(' aria-current="page"')}>${item.label}</a>`)}</nav>`}
${callerBadge(caller)}
</div>
</header>
<main id="main" tabindex="-1">
${main}
</main>
<footer class="foot"><div class="bar">${footer}</div></footer>
</body>
</html>
`.toString();
}

function callerBadge(caller: WhoIs | undefined): Html {
  if (caller === undefined)
    return html`<p class="caller"><span class="caller-text"><b>Not recognised</b><small>read only</small></span></p>`;
  const tagged = isTagged(caller);
  const name = tagged
    ? caller.node.computedName || caller.node.name
    : caller.user.displayName || caller.user.loginName;
  const detail = tagged
    ? caller.node.tags.join(', ') || caller.user.loginName
    : caller.user.loginName;
  return html`<p class="caller" title="You are ${detail} on ${caller.node.computedName}"><span class="caller-text"><span class="vh">Signed in as </span><b>${name}</b>${detail !== name && html`<small>${detail}</small>`}</span>${avatar(name, tagged ? undefined : caller.user.profilePicUrl)}</p>`;
}

/** A round picture, or initials where there is none. Decoration: the name stands beside it. */
export function avatar(name: string, pictureUrl?: string): Html {
  if (imageOrigin(pictureUrl) !== undefined)
    return html`<img class="avatar" src="${pictureUrl}" alt="" width="32" height="32" referrerpolicy="no-referrer">`;
  return html`<span class="avatar tone-${tone(name)}" aria-hidden="true">${initials(name)}</span>`;
}

function initials(name: string): string {
  const words = name
    .split('@')[0]!
    .split(/[\s._-]+/)
    .filter((word) => word !== '');
  const letters = words.length > 1 ? [words[0]!, words.at(-1)!] : words;
  return letters.map((word) => [...word][0]!.toUpperCase()).join('') || '?';
}

/** One of the six avatar colours of the style sheet, the same for the same name. */
function tone(name: string): number {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)!) % 9973;
  return sum % 6;
}

const DAY: Intl.DateTimeFormat = new Intl.DateTimeFormat('en-US', {
  dateStyle: 'medium',
  timeZone: 'UTC',
});

/** `Nov 21, 2026`, with the exact time for machines and on hover. */
export function day(date: Date): Html {
  const exact = date.toISOString();
  return html`<time datetime="${exact}" title="${exact.slice(0, 16).replace('T', ' ')} UTC">${DAY.format(date)}</time>`;
}
