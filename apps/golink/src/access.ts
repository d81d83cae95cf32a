// Who may do what: ownership, admin capability, callers the network does not know.

import type { WhoIs } from '@cove/tsnet';
import { grantsOf, isTagged } from '@cove/web';
import { GolinkError } from './errors.ts';
import type { Link } from './links.ts';
import type { Actor } from './store/store.ts';

/**
 * Grants of either with `{"admin": true}` make an admin; `{"groups": ["eng"]}` says of which groups the caller is. The
 * first is golink's, the second for what golink does not know.
 */
export const GOLINK_CAPABILITIES: readonly string[] = [
  'tailscale.com/cap/golink',
  'cove.internal/cap/golink',
];
/** What every machine's login reads; links of machines count as unowned. */
export const TAGGED_DEVICES = 'tagged-devices';

/** The caller of one request as golink sees it. */
export interface Caller extends Actor {
  readonly admin: boolean;
  /** Names without `group:`. */
  readonly groups: readonly string[];
  readonly who: WhoIs | undefined;
}

export interface AccessOptions {
  /** Nothing can be saved or deleted. */
  readonly readOnly: boolean;
  /** Callers the network does not know may save, as nobody. */
  readonly allowUnknownUsers: boolean;
  /** Whether this login belongs to a user of the network. Rejects when that cannot be told. */
  readonly isKnownUser: (login: string) => boolean | Promise<boolean>;
  /** What destinations may begin with, in lower case; `DEFAULT_SCHEMES` unless given. */
  readonly schemes?: ReadonlySet<string>;
}

export class Access {
  readonly options: AccessOptions;

  constructor(options: AccessOptions) {
    this.options = options;
  }

  /** Throws GolinkError ERR_IDENTITY for a caller who is unknown and may not be. */
  caller(who: WhoIs | undefined): Caller {
    const login = who === undefined ? '' : isTagged(who) ? TAGGED_DEVICES : who.user.loginName;
    if (who === undefined || login === '') {
      if (this.options.allowUnknownUsers)
        return { login: '', node: '', admin: false, groups: [], who };
      throw new GolinkError(
        'ERR_IDENTITY',
        'This network does not know who you are, so only links can be followed from here.',
      );
    }
    const grants = GOLINK_CAPABILITIES.flatMap((capability) => grantsOf(who, capability));
    const admin = grants.some((grant) => grant['admin'] === true);
    const groups = grants
      .flatMap((grant) => (Array.isArray(grant['groups']) ? grant['groups'] : []))
      .filter((group): group is string => typeof group === 'string')
      .map((group) => group.replace(/^group:/, ''));
    return { login, node: who.node.computedName || who.node.name, admin, groups, who };
  }

  /** Nobody's links, those open to all, and those of people who left, are anyone's; a group's are its members'. */
  async mayEdit(link: Link | undefined, caller: Caller): Promise<boolean> {
    if (this.options.readOnly) return false;
    if (link === undefined || link.owner === '' || link.openEdit || caller.admin) return true;
    if (caller.login !== '' && link.owner === caller.login) return true;
    const names = editorNames(caller);
    if (link.editors.some((editor) => names.includes(editor))) return true;
    try {
      return !(await this.userExists(link.owner));
    } catch {
      return false;
    }
  }

  async userExists(login: string): Promise<boolean> {
    return login !== TAGGED_DEVICES && (await this.options.isKnownUser(login));
  }
}

/** Among a link's editors, those that this caller is: a person's login, and groups. */
export function editorNames({ login, groups }: Caller): readonly string[] {
  const isNamed = login !== '' && login !== TAGGED_DEVICES;
  return [...(isNamed ? [login] : []), ...groups.map((group) => `group:${group}`)];
}
