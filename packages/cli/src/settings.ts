// Who owns a tailnet and what it is called: chosen at its first start, kept for the later ones.
import { userInfo } from 'node:os';
import { type DataDir, readSettings, type TailnetSettings, writeSettings } from './datadir.ts';
import { CliError } from './errors.ts';

const DEFAULT_DOMAIN = 'cove.internal';

export interface SettingOptions {
  readonly owner?: string;
  readonly domain?: string;
}

/** What was said at this start wins over what was kept. Throws `ERR_USAGE` for another domain. */
export function chooseSettings(dir: DataDir, options: SettingOptions): TailnetSettings {
  const kept = readSettings(dir);
  const domain = options.domain ?? kept?.domain ?? DEFAULT_DOMAIN;
  if (kept !== undefined && kept.domain !== domain) {
    throw new CliError(
      'ERR_USAGE',
      `this tailnet is called ${kept.domain}, and its nodes know it by that name: start a new one in another --dir`,
    );
  }
  return { owner: options.owner ?? kept?.owner ?? `${userInfo().username}@${domain}`, domain };
}

/** For later starts; to be called when the coordination server has accepted the settings, never before. */
export function keepSettings(dir: DataDir, settings: TailnetSettings): void {
  const kept = readSettings(dir);
  if (kept?.owner === settings.owner && kept.domain === settings.domain) return;
  writeSettings(dir, settings);
}
