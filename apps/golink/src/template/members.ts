// The fields and methods of values: what `.Path`, `.Now.Year` and the like give.
import type { Signature } from './evaluate.ts';
import { Time } from './time.ts';
import { CallError, Int, intText, List, Root, type Value } from './values.ts';

export interface Member extends Signature {
  /** Of a value that has it, with arguments as `takes` says. Throws CallError. */
  readonly call: (value: Value, args: readonly Value[]) => Value;
}

/** Undefined when the value has none of that name. Throws CallError for what is not available here. */
export function memberOf(value: Value, name: string): Member | undefined {
  if (value instanceof Root) return ROOT.get(name);
  if (value instanceof Time) return timeMember(name);
  const isNamed = value instanceof Int && value.type.startsWith('time.');
  return isNamed && name === 'String' ? INT_STRING : undefined;
}

const INT_STRING: Member = { takes: [], call: (value) => intText(value as Int) };

/** Members without arguments. */
function plain<T extends Value>(
  read: Readonly<Record<string, (value: T) => Value>>,
): Map<string, Member> {
  return new Map(
    Object.entries(read).map(([name, of]) => [
      name,
      { takes: [], call: (value: Value) => of(value as T) },
    ]),
  );
}

const ROOT: ReadonlyMap<string, Member> = plain<Root>({
  Path: ({ env }) => env.path,
  Segments: ({ env }) => new List(env.path === '' ? [] : env.path.split('/')),
  Query: ({ env }) => env.query,
  Host: ({ env }) => env.host,
  User: ({ env }) => env.user ?? '',
  Now: ({ env }) => env.now,
});

const int64 = (value: number): Int => new Int(value, 'int64');

const TIME: ReadonlyMap<string, Member> = plain<Time>({
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
})
  .set('Format', {
    takes: ['string'],
    call: (time, [layout]) => (time as Time).format(layout as string),
  })
  .set('AddDate', {
    takes: ['int', 'int', 'int'],
    call: (time, args) => addDate(time as Time, args as Int[]),
  });

/** Of Go's time.Time, giving one value, and not here. */
const NOT_HERE: ReadonlySet<string> = new Set(
  'Add After AppendBinary AppendFormat AppendText Before Compare Equal GoString In IsDST Location MarshalBinary MarshalJSON MarshalText Round Sub Truncate UnixMicro UnixNano'.split(
    ' ',
  ),
);

const SEVERAL: ReadonlySet<string> = new Set(['Date', 'Clock', 'ISOWeek', 'Zone']);

function timeMember(name: string): Member | undefined {
  const member = TIME.get(name);
  if (member !== undefined) return member;
  if (SEVERAL.has(name))
    throw new CallError(`.Now.${name} gives several values, of which a template can use none`);
  if (NOT_HERE.has(name)) throw new CallError(`.Now.${name} is not available`, 'unsupported');
  return undefined;
}

function addDate(time: Time, args: readonly Int[]): Time {
  const [years, months, days] = args.map(({ value }) => Number(value)) as [number, number, number];
  const moved = time.addDate(years, months, days);
  if (moved === undefined) throw new CallError('AddDate leaves the years 1 to 9999', 'unsupported');
  return moved;
}
