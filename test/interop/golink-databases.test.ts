// golink answers the same over PostgreSQL, whatever language the database sorts in, as over a SQLite file.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Postgres, postgresPrograms, startPostgres } from '../harness/postgres.ts';
import { type Exchange, Scenario } from './golinkscenario.ts';

const SKIP = postgresPrograms() === undefined && 'PostgreSQL is not installed';

/** Stands where a record would, when the scenario could not go on. */
const BROKEN = 'broken off';

const linesOf = (answered: unknown): readonly string[] =>
  JSON.stringify(answered, undefined, 1).split('\n');

async function play(database: string): Promise<readonly Exchange[]> {
  const scenario = await Scenario.start(database);
  const { records } = scenario;
  // What came before is compared as well.
  const tell = (error: unknown): void => void records.push([BROKEN, String(error)]);
  await scenario.run().catch(tell);
  await scenario[Symbol.asyncDispose]().catch(tell);
  return records;
}

describe('the same requests over SQLite and PostgreSQL', { skip: SKIP, timeout: 300_000 }, () => {
  let postgres: Postgres | undefined;
  let expected: readonly Exchange[] = [];

  before(
    async () => {
      postgres = await startPostgres();
      expected = await play(':memory:');
      assert.deepEqual(
        expected.filter(([asked]) => asked === BROKEN),
        [],
      );
      assert.ok(expected.length > 500, String(expected.length));
    },
    { timeout: 120_000 },
  );
  after(() => postgres?.[Symbol.asyncDispose](), { timeout: 120_000 });

  for (const [sorted, settings] of [
    ['by bytes', ['--locale=C']],
    ['as in English', ['--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US']],
  ] as const)
    test(`are answered the same where the database sorts ${sorted}`, {
      timeout: 120_000,
    }, async () => {
      const actual = await play(postgres!.create(`links_${settings.length}`, settings));
      const differences: unknown[] = [];
      for (const [i, [asked, answered]] of expected.entries()) {
        const [other, given] = actual[i] ?? [];
        const [here, there] = [linesOf(answered), linesOf(given)];
        const isLine = (line: string, i: number): boolean => line !== there[i];
        if (asked !== other || here.length !== there.length || here.some(isLine))
          differences.push({
            asked,
            other,
            sqlite: here.find(isLine)?.slice(0, 1_000),
            postgres: there[here.findIndex(isLine)]?.slice(0, 1_000),
          });
      }
      assert.deepEqual(differences, []);
      assert.equal(actual.length, expected.length);
    });
});
