// Hostinfo as received, made fit to keep and to hand on: merged with what is known, bounded, free of text that some
// clients cannot read.
import type { Hostinfo } from '@cove/protocol/tailcfg';

/** Bytes of JSON a node may say of itself. Stock sends about 1,500. */
const MAX_HOSTINFO = 64 * 1024;

/**
 * What is now known of the node; undefined if it says too much. A full report replaces everything but an absent
 * NetInfo; a partial one (stock always names its OS, others send only what changed) replaces what it holds.
 */
export function mergeHostinfo(known: Hostinfo, reported: Hostinfo): Hostinfo | undefined {
  const full = reported.OS !== undefined;
  const merged = full ? withNetInfo(known, reported) : { ...known, ...reported };
  const text = JSON.stringify(merged, cleanMember);
  return text.length > MAX_HOSTINFO ? undefined : (JSON.parse(text) as Hostinfo);
}

function withNetInfo(known: Hostinfo, reported: Hostinfo): Hostinfo {
  if (reported.NetInfo !== undefined || known.NetInfo === undefined) return reported;
  return { ...reported, NetInfo: known.NetInfo };
}

/** Some clients borrow strings from the input and cannot hold an escape; 64-bit members here are for display. */
function cleanMember(_name: string, member: unknown): unknown {
  if (typeof member === 'string') return cleanText(member);
  return typeof member === 'bigint' ? Number(member) : member;
}

const UNREADABLE = /[\u0000-\u001f"\\\u007f]/g;

/** Control characters, quotes and backslashes become spaces; lone surrogates U+FFFD. */
export function cleanText(text: string): string {
  // UTF-8 has no lone surrogates; the buffer is for the text that has.
  const whole = /[\ud800-\udfff]/.test(text) ? Buffer.from(text).toString() : text;
  return whole.replace(UNREADABLE, ' ').trimEnd();
}
