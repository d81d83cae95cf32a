// Who may do what: ownership, admin capability, callers the network does not know.

import type { WhoIs } from '@cove/tsnet';
import { grantsOf, isTagged } from '@cove/web';
import { GolinkError } from './errors.ts';
import type { Link } from './links.ts';
import type { Actor } from './store/store.ts';

/** Grants of this capability with `{"admin": true}` make an admin. */
export const GOLINK_CAPABILITY = 'tailscale.com/cap/golink';
/** What every machine's login reads; links of machines count as unowned. */
export const TAGGED_DEVICES = 'tagged-devices';

/** The caller of one request as golink sees it. */
export interface Caller extends Actor {
  readonly admin: boolean;
  readonly who: WhoIs | undefined;
}

export interface AccessOptions {
  /** Nothing can be saved or deleted. */
  readonly readOnly: boolean;
  /** Callers the network does not know may save, as nobody. */
  readonly allowUnknownUsers: boolean;
  /** Whether this login belongs to a user of the network. Rejects when that cannot be told. */
  readonly isKnownUser: (login: string) => boolean | Promise<boolean>;
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
      if (this.options.allowUnknownUsers) return { login: '', node: '', admin: false, who };
      throw new GolinkError(
        'ERR_IDENTITY',
        'This network does not know who you are, so only links can be followed from here.',
      );
    }
    const admin = grantsOf(who, GOLINK_CAPABILITY).some((grant) => grant['admin'] === true);
    return { login, node: who.node.computedName || who.node.name, admin, who };
  }

  /** Nobody's links, and those of people who left, are anyone's. */
  async mayEdit(link: Link | undefined, caller: Caller): Promise<boolean> {
    if (this.options.readOnly) return false;
    if (link === undefined || link.owner === '' || caller.admin) return true;
    if (caller.login !== '' && link.owner === caller.login) return true;
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
