// printf with the verbs and flags of Go's fmt: reads the format; what each directive writes is in format.ts.
import { formatArgument, formatValue, MAX_TEXT, newStyle, type Style } from './format.ts';
import { runes } from './utf8.ts';
import { CallError, Int, typeName, type Value } from './values.ts';

/** Widths and precisions beyond this do not count as such. */
const MAX_WIDTH = 1_000_000;

/** `format` is a byte string. Throws CallError of kind `unsupported` or `budget`. */
export function printf(format: string, args: readonly Value[]): string {
  return new Format(format, args).run();
}

class Format {
  readonly #format: string;
  readonly #args: readonly Value[];
  #at = 0;
  #next = 0;
  #isReordered = false;
  /** Cleared by a position in brackets that is none. */
  #isGood = true;
  #out = '';

  constructor(format: string, args: readonly Value[]) {
    this.#format = format;
    this.#args = args;
  }

  run(): string {
    for (;;) {
      const percent = this.#format.indexOf('%', this.#at);
      this.#write(this.#format.slice(this.#at, percent < 0 ? undefined : percent));
      if (percent < 0) break;
      this.#at = percent + 1;
      this.#directive();
    }
    if (!this.#isReordered && this.#next < this.#args.length) {
      const extra = this.#args
        .slice(this.#next)
        .map((arg) => (arg === null ? '<nil>' : `${typeName(arg)}=${formatValue(arg)}`));
      this.#write(`%!(EXTRA ${extra.join(', ')})`);
    }
    return this.#out;
  }

  #write(text: string): void {
    if (this.#out.length + text.length > MAX_TEXT)
      throw new CallError('printf writes too much', 'budget');
    this.#out += text;
  }

  #directive(): void {
    this.#isGood = true;
    const style = this.#flags();
    let isPlaced = this.#position();
    if (this.#format[this.#at] === '*') {
      this.#at++;
      const width = this.#fromArgument();
      if (width === undefined) this.#write('%!(BADWIDTH)');
      else {
        style.width = Math.abs(width);
        if (width < 0) style.minus = true;
      }
      isPlaced = false;
    } else {
      style.width = this.#integer();
      if (isPlaced && style.width !== undefined) this.#isGood = false;
    }
    if (this.#format[this.#at] === '.' && this.#at + 1 < this.#format.length) {
      this.#at++;
      if (isPlaced) this.#isGood = false;
      isPlaced = this.#position();
      if (this.#format[this.#at] === '*') {
        this.#at++;
        const precision = this.#fromArgument();
        if (precision === undefined || precision < 0) this.#write('%!(BADPREC)');
        else style.precision = precision;
        isPlaced = false;
      } else style.precision = this.#integer() ?? 0;
    }
    if (!isPlaced) this.#position();
    this.#write(this.#verb(style));
  }

  #verb(style: Style): string {
    if (this.#at >= this.#format.length) return '%!(NOVERB)';
    const { bytes: verb } = runes(this.#format.slice(this.#at, this.#at + 4)).next().value!;
    this.#at += verb.length;
    if (verb === '%') return '%';
    if (!this.#isGood) return `%!${verb}(BADINDEX)`;
    if (this.#next >= this.#args.length) return `%!${verb}(MISSING)`;
    if (verb === 'v') {
      style.source = style.sharp;
      style.sharp = false;
      style.plus = false;
    }
    if ((style.width ?? 0) > MAX_TEXT || (style.precision ?? 0) > MAX_TEXT)
      throw new CallError('printf writes too much', 'budget');
    return formatArgument(this.#args[this.#next++]!, verb, style);
  }

  #flags(): Style {
    const style = newStyle();
    for (; ; this.#at++) {
      switch (this.#format[this.#at]) {
        case '-':
          style.minus = true;
          break;
        case '+':
          style.plus = true;
          break;
        case '#':
          style.sharp = true;
          break;
        case ' ':
          style.space = true;
          break;
        case '0':
          style.zero = true;
          break;
        default:
          return style;
      }
    }
  }

  /** A number, if one stands there. One that is too large ends the format. */
  #integer(): number | undefined {
    const digits = /^[0-9]*/.exec(this.#format.slice(this.#at, this.#at + 16))![0];
    let value = 0;
    for (const digit of digits) {
      if (value > MAX_WIDTH) {
        this.#at = this.#format.length;
        return undefined;
      }
      value = value * 10 + Number(digit);
    }
    this.#at += digits.length;
    return digits === '' ? undefined : value;
  }

  /** `[n]`: which argument comes next. True when one stood there. */
  #position(): boolean {
    if (this.#format[this.#at] !== '[') return false;
    this.#isReordered = true;
    const close = this.#format.indexOf(']', this.#at);
    const inside = close < 0 ? '' : this.#format.slice(this.#at + 1, close);
    const isNumber = /^[0-9]{1,7}$/.test(inside);
    const wanted = Number(inside) - 1;
    if (isNumber && wanted >= 0 && wanted < this.#args.length) {
      this.#next = wanted;
      this.#at = close + 1;
      return true;
    }
    this.#isGood = false;
    this.#at = close < 0 ? this.#at + 1 : close + 1;
    return isNumber;
  }

  /** For `*`. Undefined when the argument is no integer or too large. */
  #fromArgument(): number | undefined {
    const arg = this.#args[this.#next];
    if (this.#next < this.#args.length) this.#next++;
    if (!(arg instanceof Int)) return undefined;
    const value = Number(arg.value);
    return Math.abs(value) > MAX_WIDTH ? undefined : value;
  }
}
