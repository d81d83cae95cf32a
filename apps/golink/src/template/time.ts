// `.Now`: a moment in UTC with the members of Go's time.Time that give one value, and Go's layouts.

import { Int, intText } from './values.ts';

export class Time {
  readonly #date: Date;

  /** Milliseconds since the epoch. */
  constructor(ms: number) {
    this.#date = new Date(ms);
  }

  get ms(): number {
    return this.#date.getTime();
  }

  /** 1 to 12. */
  get month(): number {
    return this.#date.getUTCMonth() + 1;
  }
  /** Sunday is 0. */
  get weekday(): number {
    return this.#date.getUTCDay();
  }

  get year(): number {
    return this.#date.getUTCFullYear();
  }
  get day(): number {
    return this.#date.getUTCDate();
  }
  get hour(): number {
    return this.#date.getUTCHours();
  }
  get minute(): number {
    return this.#date.getUTCMinutes();
  }
  get second(): number {
    return this.#date.getUTCSeconds();
  }
  get nanosecond(): number {
    return this.#date.getUTCMilliseconds() * 1e6;
  }
  get yearDay(): number {
    return Math.floor((this.ms - Date.UTC(this.year, 0, 1)) / 86_400_000) + 1;
  }

  /** Normalises as calendars do: October 32 is November 1. Undefined when the result is out of range. */
  addDate(years: number, months: number, days: number): Time | undefined {
    const date = new Date(this.#date);
    date.setUTCFullYear(this.year + years, date.getUTCMonth() + months, this.day + days);
    return Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1 || date.getUTCFullYear() > 9999
      ? undefined
      : new Time(date.getTime());
  }

  /** A moment in words. Layout in terms of the reference time `Mon Jan 2 15:04:05 MST 2006`. */
  format(layout: string): string {
    return layout.replace(LAYOUT, (chunk) => this.#chunk(chunk));
  }

  toString(): string {
    return this.format('2006-01-02 15:04:05.999999999 -0700 MST');
  }

  #chunk(chunk: string): string {
    const two = (value: number): string => String(value).padStart(2, '0');
    const hour12 = this.hour % 12 || 12;
    const month = intText(new Int(this.month, 'time.Month'));
    const weekday = intText(new Int(this.weekday, 'time.Weekday'));
    switch (chunk) {
      case '2006':
        return String(this.year).padStart(4, '0');
      case '06':
        return two(this.year % 100);
      case 'January':
        return month;
      case 'Jan':
        return month.slice(0, 3);
      case '01':
        return two(this.month);
      case '1':
        return String(this.month);
      case 'Monday':
        return weekday;
      case 'Mon':
        return weekday.slice(0, 3);
      case '02':
        return two(this.day);
      case '_2':
        return String(this.day).padStart(2);
      case '2':
        return String(this.day);
      case '002':
        return String(this.yearDay).padStart(3, '0');
      case '__2':
        return String(this.yearDay).padStart(3);
      case '15':
        return two(this.hour);
      case '03':
        return two(hour12);
      case '3':
        return String(hour12);
      case '04':
        return two(this.minute);
      case '4':
        return String(this.minute);
      case '05':
        return two(this.second);
      case '5':
        return String(this.second);
      case 'PM':
        return this.hour >= 12 ? 'PM' : 'AM';
      case 'pm':
        return this.hour >= 12 ? 'pm' : 'am';
      case 'MST':
        return 'UTC';
    }
    if (chunk.startsWith('Z')) return 'Z';
    if (chunk.startsWith('-')) return `+${chunk.slice(1).replace('07', '00')}`;
    // What is left is a fraction: zeros keep their width, nines drop trailing zeros.
    const digits = String(this.nanosecond)
      .padStart(9, '0')
      .slice(0, chunk.length - 1)
      .padEnd(chunk.length - 1, '0');
    if (chunk[1] === '0') return chunk[0] + digits;
    const kept = digits.replace(/0+$/, '');
    return kept === '' ? '' : chunk[0] + kept;
  }
}

const LAYOUT =
  /January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,](?:0+|9+)(?![0-9])/g;
