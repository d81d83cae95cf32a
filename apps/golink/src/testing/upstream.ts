// A database as tailscale/golink makes it, for tests of moving in.
import { SqliteDatabase } from '@cove/sqlite';
import { linkId, ZERO_TIME } from '../links.ts';

export interface UpstreamFixture {
  readonly links: readonly {
    readonly short: string;
    readonly long: string;
    readonly owner?: string;
    readonly created?: number;
    readonly lastEdit?: number;
  }[];
  /** ID, seconds, clicks. */
  readonly stats?: readonly (readonly [string, number, number])[];
}

export function writeUpstream(path: string, { links, stats = [] }: UpstreamFixture): void {
  const database = new SqliteDatabase(path);
  database.exec(`
    create table Links (ID text primary key, Short text not null default '', Long text not null default '',
      Created integer not null default (strftime('%s', 'now')), LastEdit integer not null default (strftime('%s', 'now')),
      Owner text not null default '');
    create table Stats (ID text not null default '', Created integer not null default (strftime('%s', 'now')), Clicks integer)`);
  const addLink = database.prepare('insert into Links values (?, ?, ?, ?, ?, ?)');
  const addStats = database.prepare('insert into Stats values (?, ?, ?)');
  database.transaction(() => {
    for (const { short, long, owner = '', created = ZERO_TIME, lastEdit = created } of links)
      addLink.run(linkId(short), short, long, created, lastEdit, owner);
    for (const row of stats) addStats.run(...row);
  })();
  database.close();
}
