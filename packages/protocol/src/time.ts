// Times on the wire: RFC 3339 with 0 to 9 fractional digits and any UTC offset. Year 1, in any offset's writing,
// means no time at all.

export const ZERO_TIME = '0001-01-01T00:00:00Z';
const ZERO_MS = -62135596800000;
const RFC3339 =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/;
const MONTH_DAYS: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Milliseconds since 1970, fractions below dropped; undefined if the text is no RFC 3339 time. */
export function parseTime(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
  const days = MONTH_DAYS[month - 1];
  if (days === undefined || day < 1 || day > days + leap) return undefined;
  const midnight = new Date(0).setUTCFullYear(year, month - 1, day);
  const seconds = Number(match[4]) * 3600 + Number(match[5]) * 60 + Number(match[6]);
  const offset = Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0);
  const fraction = Number((match[7] ?? '').slice(0, 3).padEnd(3, '0'));
  return midnight + seconds * 1000 + fraction - (match[8] === '-' ? -offset : offset) * 60_000;
}

/** RFC 3339 in UTC. Throws RangeError outside the years Date knows. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** Whether the member stands for no time: absent, or the first instant of year 1. */
export function isZeroTime(time: string | undefined): boolean {
  return time === undefined || time === ZERO_TIME || parseTime(time) === ZERO_MS;
}
