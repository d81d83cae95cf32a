// A golink that changes its links through the API until it is killed, and tells each change before it is asked for and
// after it was answered. Arguments: the database, and a number that makes names and choices different.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGolink } from '@cove/golink';

/** What a change makes of a name: a destination, or nothing. */
export interface WriterMessage {
  readonly lane: number;
  readonly answered: boolean;
  readonly effects: Readonly<Record<string, string | null>>;
}

const [database = '', seed = '0'] = process.argv.slice(2);
const golink = await createGolink({
  database,
  identify: async () => undefined,
  allowUnknownUsers: true,
});
const server = createServer(golink.handler).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const { port } = server.address() as AddressInfo;

let state = Number(seed) + 1;
function random(below: number): number {
  state = (state * 48_271) % 2_147_483_647;
  return state % below;
}

async function api(method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}/.api/v1${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

async function lane(lane: number): Promise<void> {
  /** Names of this lane and where they lead. */
  const here = new Map<string, string>();
  const gone: string[] = [];
  for (let i = 0; i < 10_000; i++) {
    const fresh = `r${seed}.${lane}.${i}`;
    const long = `http://example/${seed}/${lane}/${i}`;
    const old = [...here.keys()][random(Math.max(here.size, 1))];
    const step = old === undefined ? 0 : random(6);
    const act = async (
      effects: Record<string, string | null>,
      work: () => Promise<unknown>,
    ): Promise<void> => {
      process.send!({ lane, answered: false, effects } satisfies WriterMessage);
      await work();
      process.send!({ lane, answered: true, effects } satisfies WriterMessage);
      for (const [name, to] of Object.entries(effects))
        if (to === null) here.delete(name);
        else here.set(name, to);
    };
    if (step <= 1)
      await act({ [fresh]: long }, () => api('POST', '/links', { short: fresh, long }));
    else if (step === 2) await act({ [old!]: long }, () => api('PATCH', `/links/${old}`, { long }));
    else if (step === 3)
      await act({ [old!]: null, [fresh]: here.get(old!)! }, () =>
        api('PATCH', `/links/${old}`, { short: fresh }),
      );
    else if (step === 4) {
      await act({ [old!]: null }, () => api('DELETE', `/links/${old}`));
      gone.push(old!);
    } else if (gone.length > 0 && random(2) === 0) {
      const name = gone.pop()!;
      const { items } = (await api('GET', `/links/${name}/history`)) as {
        items: { seq: number; before?: { long: string } }[];
      };
      const { seq, before } = items[0]!;
      await act({ [name]: before!.long }, () => api('POST', `/links/${name}/restore`, { seq }));
    } else {
      const names = Array.from({ length: 40 }, (_, k) => `${fresh}.${k}`);
      const lines = names
        .map((Short) => JSON.stringify({ Short, Long: long, Owner: '' }))
        .join('\n');
      await act(Object.fromEntries(names.map((name) => [name, long])), () =>
        golink.importSnapshot(
          (async function* () {
            yield lines;
          })(),
        ),
      );
    }
  }
}

await Promise.all([0, 1, 2].map(lane));
process.exit(1);
