// Typed readers over parsed JSON with the tolerance of the stock decoder: member names match whatever their case,
// unknown members are ignored, null is absent; a member of the wrong type fails the whole message.
import { fromBase64, ProtocolError } from './bytes.ts';
import { type JsonValue, parseJson, setMember } from './json.ts';
import { parseAddr, parseAddrPort, parsePrefix } from './netaddr.ts';
import { parseTime } from './time.ts';

/** Reads one JSON value as a T. label names the member in errors. Throws ERR_MALFORMED, ERR_BAD_KEY. */
export interface Kind<T> {
  read(value: JsonValue, label: string): T;
  /** Whether null is a value of its own here. */
  readonly nullable?: boolean;
}

/** A kind whose member is always there: absent or null gives the zero value. */
export interface Always<T> extends Kind<T> {
  zero(): T;
}

/** One kind per member of T; members that T requires need a zero value. */
export type Members<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? Kind<Exclude<T[K], undefined>>
    : Always<T[K]>;
};

function wrong(label: string, wanted: string): ProtocolError {
  return new ProtocolError('ERR_MALFORMED', `${label}: not ${wanted}`);
}

export const text: Kind<string> = {
  read(value, label) {
    if (typeof value !== 'string') throw wrong(label, 'a string');
    return value;
  },
};

export const bool: Kind<boolean> = {
  read(value, label) {
    if (typeof value !== 'boolean') throw wrong(label, 'a boolean');
    return value;
  },
};

export const float: Kind<number> = {
  read(value, label) {
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(label, 'a number');
    return number;
  },
};

/** An integer from min to max, both within what a number holds exactly. */
export function integer(min: number, max: number): Kind<number> {
  return {
    read(value, label) {
      if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
        throw wrong(label, `an integer from ${min} to ${max}`);
      }
      return value;
    },
  };
}

export const int: Kind<number> = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const u16: Kind<number> = integer(0, 0xffff);

function wide(min: bigint, max: bigint): Kind<number | bigint> {
  return {
    read(value, label) {
      const fits = typeof value === 'bigint' ? value >= min && value <= max : false;
      if (fits || (typeof value === 'number' && Number.isSafeInteger(value) && value >= min)) {
        return value as number | bigint;
      }
      throw wrong(label, 'a 64-bit integer');
    },
  };
}

export const int64: Kind<number | bigint> = wide(-(2n ** 63n), 2n ** 63n - 1n);
export const uint64: Kind<number | bigint> = wide(0n, 2n ** 64n - 1n);

function converted<T>(parse: (text: string) => T): Kind<T> {
  return {
    read(value, label) {
      const given = text.read(value, label);
      try {
        return parse(given);
      } catch (cause) {
        if (!(cause instanceof ProtocolError)) throw cause;
        throw new ProtocolError(cause.code, `${label}: ${cause.message}`, { cause });
      }
    },
  };
}

/** Standard base64. */
export const bytes: Kind<Uint8Array> = converted(fromBase64);

/** Any value as it is. */
export const raw: Kind<unknown> = { read: (value) => value };

function checked(wanted: string, valid: (text: string) => boolean): Kind<string> {
  return {
    read(value, label) {
      const given = text.read(value, label);
      if (!valid(given)) throw wrong(label, wanted);
      return given;
    },
  };
}

export const time: Kind<string> = checked('a time', (given) => parseTime(given) !== undefined);

// Address texts stay as given. They are checked because what one node sends reaches the others, whose decoders
// reject a whole map over one bad address. Empty is the stock decoder's zero value. Zones are legal on the wire.
export const addr: Kind<string> = checked(
  'an address',
  (given) => given === '' || parseAddr(given.replace(/%[^%]+$/, '')) !== undefined,
);
export const prefix: Kind<string> = checked(
  'a prefix',
  (given) => given === '' || parsePrefix(given) !== undefined,
);
export const addrPort: Kind<string> = checked(
  'an address and port',
  (given) => given === '' || parseAddrPort(given.replace(/%[^%\]]+\]/, ']')) !== undefined,
);

/** A key by its parse function; the empty string is no key. */
export function key<T extends string>(parse: (text: string) => T): Kind<T> {
  return converted(parse);
}

/** Null elements are dropped. */
export function list<T>(kind: Kind<T>): Kind<readonly T[]> {
  return {
    read(value, label) {
      if (!Array.isArray(value)) throw wrong(label, 'a list');
      const given = value as readonly JsonValue[];
      const elements = given.includes(null) ? given.filter((element) => element !== null) : given;
      // Not pushed one by one, which would leave room for more in each of many lists that are kept.
      return elements.map((element) => kind.read(element, label));
    },
  };
}

function isObject(value: JsonValue): value is { readonly [name: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Any names, case-sensitive. Null entries are dropped unless the kind says what null means. */
export function dict<T>(kind: Kind<T> | Always<T>): Kind<Readonly<Record<string, T>>> {
  return {
    read(value, label) {
      if (!isObject(value)) throw wrong(label, 'an object');
      const out: Record<string, T> = {};
      for (const [name, element] of Object.entries(value)) {
        if (element !== null || kind.nullable) {
          setMember(out, name, kind.read(element, label));
        } else if ('zero' in kind) {
          setMember(out, name, kind.zero());
        }
      }
      return out;
    },
  };
}

/** A dict whose names are 64-bit integers in decimal. */
export function integerDict<T>(kind: Kind<T> | Always<T>): Kind<Readonly<Record<string, T>>> {
  const any = dict(kind);
  return {
    read(value, label) {
      const out = any.read(value, label);
      for (const name of Object.keys(out)) {
        if (!/^(?:0|-?[1-9]\d{0,18})$/.test(name))
          throw wrong(label, 'an object with integer names');
      }
      return out;
    },
  };
}

/** Null is kept as null. */
export function nullable<T>(kind: Kind<T>): Kind<T | null> {
  return {
    nullable: true,
    read: (value, label) => (value === null ? null : kind.read(value, label)),
  };
}

export function always<T>(kind: Kind<T>, zero: () => T): Always<T> {
  return { ...kind, zero };
}

/**
 * An object with these members, all 0. One that is given its members one by one becomes a hash table of several times
 * the size once they are many, and maps are kept with thousands of them.
 */
function blank(names: readonly string[]): Record<string, unknown> {
  return names.length === 0 ? {} : JSON.parse(`{"${names.join('":0,"')}":0}`);
}

/** An object with the given members, of which the last of equal names counts. */
export function shape<T>(name: string, members: Members<NoInfer<T>>): Kind<T> {
  interface Member {
    readonly name: string;
    readonly label: string;
    readonly kind: Kind<unknown>;
  }
  const exact = new Map<string, Member>();
  const folded = new Map<string, Member>();
  const required: [string, () => unknown][] = [];
  for (const [member, kind] of Object.entries(members) as [string, Kind<unknown>][]) {
    const entry = { name: member, label: `${name}.${member}`, kind };
    exact.set(member, entry);
    folded.set(member.toLowerCase(), entry);
    if ('zero' in kind) required.push([member, (kind as Always<unknown>).zero]);
  }
  return {
    read(value, label) {
      if (!isObject(value)) throw wrong(label, 'an object');
      const names: string[] = [];
      const values: unknown[] = [];
      for (const given of Object.keys(value)) {
        const member = exact.get(given) ?? folded.get(given.toLowerCase());
        if (member === undefined) continue;
        const content = value[given]!;
        if (content === null && member.kind.nullable !== true) continue;
        const at = names.indexOf(member.name);
        values[at < 0 ? names.push(member.name) - 1 : at] = member.kind.read(content, member.label);
      }
      for (const [member, zero] of required) {
        if (!names.includes(member)) values[names.push(member) - 1] = zero();
      }
      const out = blank(names);
      for (let i = 0; i < names.length; i++) out[names[i]!] = values[i];
      return out as T;
    },
  };
}

/** The parse function of a message. Throws ProtocolError only. */
export function messageParser<T>(name: string, kind: Kind<T>): (bytes: Uint8Array) => T {
  return (input) => kind.read(parseJson(input), name);
}
