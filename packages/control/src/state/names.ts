// Node names: from what a client calls itself to the first label of its MagicDNS name.

const MAX_LABEL = 63;

/** Suffixes desktop systems append to hostnames. */
const LOCAL_SUFFIX = /\.(?:local|localdomain|lan)$/;

/** The label for a client's hostname; `node` when nothing usable is left. `n` before mere digits: they read as an ID. */
export function labelOf(hostname: string): string {
  const label = hostname
    .slice(0, 255)
    .toLowerCase()
    .replace(LOCAL_SUFFIX, '')
    .replace(/[ .@_]/g, '-')
    .replace(/[^a-z0-9-]/g, '')
    .replace(/^-+/, '')
    .slice(0, MAX_LABEL)
    .replace(/-+$/, '');
  if (label === '') return 'node';
  return /^\d+$/.test(label) ? `n${label}`.slice(0, MAX_LABEL) : label;
}

/** `label`, or with the first free of `-1`, `-2`, ... */
export function freeLabel(label: string, taken: (label: string) => boolean): string {
  if (!taken(label)) return label;
  for (let n = 1; ; n++) {
    const suffix = `-${n}`;
    const candidate = label.slice(0, MAX_LABEL - suffix.length).replace(/-+$/, '') + suffix;
    if (!taken(candidate)) return candidate;
  }
}

/** Whether an admin may give a node this name (RFC 1123 section 2.1, lower case). */
export function isLabel(text: string): boolean {
  return text.length <= MAX_LABEL && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text);
}

/** `tag:` and a letter, then letters, digits or `-`. */
export function isTag(text: string): boolean {
  return text.length <= 64 && /^tag:[a-zA-Z][a-zA-Z0-9-]*$/.test(text);
}

/** Letters, digits, `-`, `.`, `_`, `+` and exactly one `@` with something on both sides. */
export function isLoginName(text: string): boolean {
  return text.length <= 254 && /^[\w.+-]+@[\w-][\w.-]*$/.test(text);
}
