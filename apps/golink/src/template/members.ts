// The fields and methods of values: what `.Path`, `.Now.Year` and the like give.
import type { Signature } from './evaluate.ts';
import { Time } from './time.ts';
import { CallError, Int, intText, List, Root, type Value } from './values.ts';

export interface Member extends Signature {
  /** With arguments as `takes` says. Throws CallError. */
  readonly call: (args: readonly Value[]) => Value;
}

/** Undefined when the value has none of that name. Throws CallError for what is not available here. */
export function memberOf(value: Value, name: string): Member | undefined {
  if (value instanceof Root) return rootMember(value, name);
  if (value instanceof Time) return timeMember(value, name);
  const isNamed = value instanceof Int && value.type.startsWith('time.');
  return isNamed && name === 'String' ? plain(() => intText(value)) : undefined;
}

const plain = (read: () => Value): Member => ({ takes: [], call: read });

function rootMember({ env }: Root, name: string): Member | undefined {
  switch (name) {
    case 'Path':
      return plain(() => env.path);
    case 'Segments':
      return plain(() => new List(env.path === '' ? [] : env.path.split('/')));
    case 'Query':
      return plain(() => env.query);
    case 'Host':
      return plain(() => env.host);
    case 'User':
      return plain(() => env.user ?? '');
    case 'Now':
      return plain(() => env.now);
  }
  return undefined;
}

const int64 = (value: number): Int => new Int(value, 'int64');

const READ: Readonly<Record<string, (time: Time) => Value>> = {
  Year: (time) => new Int(time.year),
  Month: (time) => new Int(time.month, 'time.Month'),
  Day: (time) => new Int(time.day),
  Weekday: (time) => new Int(time.weekday, 'time.Weekday'),
  Hour: (time) => new Int(time.hour),
  Minute: (time) => new Int(time.minute),
  Second: (time) => new Int(time.second),
  Nanosecond: (time) => new Int(time.nanosecond),
  YearDay: (time) => new Int(time.yearDay),
  Unix: (time) => int64(Math.floor(time.ms / 1000)),
  UnixMilli: (time) => int64(time.ms),
  UTC: (time) => time,
  // Everybody's zone is UTC here.
  Local: (time) => time,
  IsZero: () => false,
  String: (time) => time.toString(),
};

/** Of Go's time.Time, giving one value, and not here. */
const NOT_HERE: ReadonlySet<string> = new Set(
  'Add After AppendBinary AppendFormat AppendText Before Compare Equal GoString In IsDST Location MarshalBinary MarshalJSON MarshalText Round Sub Truncate UnixMicro UnixNano'.split(
    ' ',
  ),
);

function timeMember(time: Time, name: string): Member | undefined {
  if (Object.hasOwn(READ, name)) return plain(() => READ[name]!(time));
  switch (name) {
    case 'Format':
      return { takes: ['string'], call: ([layout]) => time.format(layout as string) };
    case 'AddDate':
      return { takes: ['int', 'int', 'int'], call: (args) => addDate(time, args as Int[]) };
    case 'Date':
    case 'Clock':
    case 'ISOWeek':
    case 'Zone':
      throw new CallError(`.Now.${name} gives several values, of which a template can use none`);
  }
  if (NOT_HERE.has(name)) throw new CallError(`.Now.${name} is not available`, 'unsupported');
  return undefined;
}

function addDate(time: Time, args: readonly Int[]): Time {
  const [years, months, days] = args.map(({ value }) => Number(value)) as [number, number, number];
  const moved = time.addDate(years, months, days);
  if (moved === undefined) throw new CallError('AddDate leaves the years 1 to 9999', 'unsupported');
  return moved;
}
