// Saving and deleting: the checks in the order golink makes them, then the change.
import type { FormTokens } from '@cove/web';
import type { Access, Caller } from './access.ts';
import { checkDestination } from './destination.ts';
import { GolinkError } from './errors.ts';
import { checkName, checkTexts } from './linkeditor.ts';
import { type Link, linkId, newLink } from './links.ts';
import type { Store } from './store/store.ts';

/** What a form token for creating a link is bound to; no link can have this name. */
export const NEW_LINK = '.new';

export interface SaveRequest {
  readonly short: string;
  readonly long: string;
  /** Empty: the caller. */
  readonly owner: string;
  readonly token: string;
  /** Sent by a program and not by another site's page, so no token is needed. */
  readonly trusted: boolean;
  /** Asked for only when the request itself is in order. */
  readonly caller: () => Promise<Caller>;
}

export interface DeleteRequest {
  readonly short: string;
  readonly token: () => Promise<string>;
  readonly caller: () => Promise<Caller>;
}

/** `taken`: the form was for a new link and the name is in use; nothing was changed. */
export interface SaveResult {
  readonly link: Link;
  readonly outcome: 'created' | 'updated' | 'taken';
  /** When, in milliseconds since the epoch. */
  readonly at: number;
}

export class Editor {
  readonly #store: Store;
  readonly #access: Access;
  readonly #tokens: FormTokens;
  readonly #now: () => number;

  constructor(store: Store, access: Access, tokens: FormTokens, now: () => number) {
    this.#store = store;
    this.#access = access;
    this.#tokens = tokens;
    this.#now = now;
  }

  /**
   * Throws GolinkError ERR_READ_ONLY, ERR_REQUEST, ERR_NAME, ERR_DESTINATION, ERR_IDENTITY, ERR_TAKEN, ERR_FORBIDDEN,
   * ERR_TOKEN, ERR_OWNER, ERR_DATABASE.
   */
  async save(request: SaveRequest): Promise<SaveResult> {
    const { short, long, owner, token } = request;
    this.#refuseReadOnly();
    if (short === '' || long === '')
      throw new GolinkError('ERR_REQUEST', 'short and long required');
    checkName(short);
    checkTexts({ long, owner });
    checkDestination(long, this.#access.options.schemes);
    const caller = await request.caller();
    const at = this.#now();
    const id = linkId(short);
    const current = await this.#store.find(id);
    // Another name of a link that exists: nothing is made of the form, and the link is shown.
    if (current !== undefined && current.id !== id) {
      if (request.trusted)
        throw new GolinkError(
          'ERR_TAKEN',
          `${short} is another name of ${current.short}: change that link`,
        );
      return { link: current, outcome: 'taken', at };
    }
    if (!(await this.#access.mayEdit(current, caller)))
      throw new GolinkError('ERR_FORBIDDEN', `cannot update link owned by "${current!.owner}"`);
    const trusted = request.trusted || this.#access.options.allowUnknownUsers;
    if (!trusted && !this.#tokens.verify(token, caller.login, current?.short ?? NEW_LINK)) {
      if (current !== undefined && this.#tokens.verify(token, caller.login, NEW_LINK))
        return { link: current, outcome: 'taken', at };
      throw new GolinkError('ERR_TOKEN', 'invalid XSRF token');
    }
    if (owner !== '' && !(await this.#access.userExists(owner)))
      throw new GolinkError('ERR_OWNER', `new owner not a valid user: ${owner}`);
    const lastEdit = Math.floor(at / 1000);
    const link = await this.#store.change(id, caller, (before) => {
      refuseIfChanged(before, current);
      const edited = { short, long, lastEdit, owner: owner === '' ? caller.login : owner };
      return before === undefined
        ? newLink({ ...edited, created: lastEdit })
        : { ...before, ...edited };
    });
    return { link: link!, outcome: current === undefined ? 'created' : 'updated', at };
  }

  /** Throws GolinkError ERR_READ_ONLY, ERR_REQUEST, ERR_IDENTITY, ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_TOKEN, ERR_DATABASE. */
  async delete(request: DeleteRequest): Promise<Link> {
    this.#refuseReadOnly();
    if (request.short === '') throw new GolinkError('ERR_REQUEST', 'short required');
    const caller = await request.caller();
    const link = await this.#store.find(linkId(request.short));
    if (link === undefined) throw new GolinkError('ERR_NOT_FOUND', '404 page not found');
    if (!(await this.#access.mayEdit(link, caller)))
      throw new GolinkError('ERR_FORBIDDEN', `cannot delete link owned by "${link.owner}"`);
    if (!this.#tokens.verify(await request.token(), caller.login, link.short))
      throw new GolinkError('ERR_TOKEN', 'invalid XSRF token');
    await this.#store.change(link.id, caller, (before) => {
      refuseIfChanged(before, link);
      return undefined;
    });
    return link;
  }

  #refuseReadOnly(): void {
    if (this.#access.options.readOnly)
      throw new GolinkError('ERR_READ_ONLY', 'golink is in read-only mode');
  }
}

/** The right to edit was checked against `seen`. */
function refuseIfChanged(before: Link | undefined, seen: Link | undefined): void {
  const rights = (link: Link | undefined): string =>
    link === undefined ? '' : JSON.stringify([link.owner, link.editors, link.openEdit]);
  if (rights(before) !== rights(seen))
    throw new GolinkError('ERR_REQUEST', 'somebody else changed this link just now; look again');
}
