// Changes of links as the API and the pages make them: who may, whether it is in order, then the change and its event.
import type { Access, Caller } from './access.ts';
import { checkDestination } from './destination.ts';
import { GolinkError } from './errors.ts';
import {
  isKeepable,
  isValidName,
  type Link,
  linkId,
  MAX_NAME,
  MAX_OWNER,
  newLink,
} from './links.ts';
import { changeOf, type Rewind, restoreAll, restoreLink, stateOf } from './store/history.ts';
import type { Store } from './store/store.ts';

/** What a change says; what it leaves out stays as it is. */
export interface Edit {
  readonly short?: string;
  readonly long?: string;
  /** A known user's login. */
  readonly owner?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  /** Logins, and groups as `group:name`. */
  readonly editors?: readonly string[];
  readonly aliases?: readonly string[];
  readonly openEdit?: boolean;
  readonly append?: Link['append'];
  /** With another `short`: the old name goes on leading here. */
  readonly keepOldName?: boolean;
}

export interface EditOptions {
  /** Only if the link still is of this version; otherwise ERR_CONFLICT. */
  readonly ifVersion?: number;
}

export const MAX_DESCRIPTION: number = 1_000;
const MAX_WORDS = 50;
const MAX_WORD = 200;

export class LinkEditor {
  readonly #store: Store;
  readonly #access: Access;

  constructor(store: Store, access: Access) {
    this.#store = store;
    this.#access = access;
  }

  /** Throws GolinkError ERR_READ_ONLY, ERR_NAME, ERR_DESTINATION, ERR_OWNER, ERR_REQUEST, ERR_TAKEN, ERR_DATABASE. */
  async create(
    edit: Edit & { readonly short: string; readonly long: string },
    caller: Caller,
  ): Promise<Link> {
    this.refuseReadOnly();
    await this.#check(edit);
    const created = Math.floor(this.#store.now() / 1000);
    const link = await this.#store.change(linkId(edit.short), caller, (before) => {
      if (before !== undefined)
        throw new GolinkError('ERR_TAKEN', `${before.short} exists already.`);
      const blank = newLink({
        ...{ short: edit.short, long: edit.long, owner: caller.login },
        ...{ created, lastEdit: created },
      });
      return edited(blank, edit, created);
    });
    return link!;
  }

  /**
   * By any name of the link. Throws GolinkError ERR_READ_ONLY, ERR_NOT_FOUND, ERR_FORBIDDEN, ERR_CONFLICT, ERR_NAME,
   * ERR_DESTINATION, ERR_OWNER, ERR_REQUEST, ERR_TAKEN, ERR_DATABASE.
   */
  async update(
    short: string,
    edit: Edit,
    caller: Caller,
    options: EditOptions = {},
  ): Promise<Link> {
    this.refuseReadOnly();
    const seen = await this.#editable(short, caller, 'update');
    await this.#check(edit);
    const now = Math.floor(this.#store.now() / 1000);
    const link = await this.#store.change(seen.id, caller, (before) =>
      edited(stillTheSame(before, seen, options), edit, now),
    );
    return link!;
  }

  /** Soft: it can be restored for 30 days. Throws as `update`. */
  async remove(short: string, caller: Caller, options: EditOptions = {}): Promise<Link> {
    this.refuseReadOnly();
    const seen = await this.#editable(short, caller, 'delete');
    await this.#store.change(seen.id, caller, (before) => {
      stillTheSame(before, seen, options);
      return undefined;
    });
    return seen;
  }

  /**
   * Makes a link what the change numbered `seq` left, or found, if it deleted. Throws as `update`; ERR_TAKEN when its name
   * belongs to another link now.
   */
  async restore(seq: number, caller: Caller, options: EditOptions = {}): Promise<Link> {
    this.refuseReadOnly();
    const change = await changeOf(this.#store, seq);
    if (change === undefined)
      throw new GolinkError('ERR_NOT_FOUND', `There is no change number ${seq}.`);
    const state = stateOf(change);
    const seen = await this.#store.find(change.linkId);
    const own = seen?.id === change.linkId ? seen : undefined;
    // Of a deleted link the last owner decides.
    if (!(await this.#access.mayEdit(own ?? state, caller)))
      throw new GolinkError(
        'ERR_FORBIDDEN',
        `cannot restore link owned by "${(own ?? state).owner}"`,
      );
    const restored = await restoreLink(this.#store, change.linkId, state, caller, (now) => {
      if (now !== undefined || own !== undefined || options.ifVersion !== undefined)
        stillTheSame(now, own, options);
    });
    return restored!;
  }

  /** Admins only. Throws GolinkError ERR_READ_ONLY, ERR_FORBIDDEN, ERR_REQUEST, ERR_DATABASE. */
  async restoreAll(
    at: number,
    caller: Caller,
    options: { readonly dryRun?: boolean } = {},
  ): Promise<Rewind> {
    if (options.dryRun !== true) this.refuseReadOnly();
    if (!caller.admin)
      throw new GolinkError('ERR_FORBIDDEN', 'only an admin can restore the whole service');
    if (!Number.isFinite(at) || at > this.#store.now())
      throw new GolinkError('ERR_REQUEST', 'that moment has not come yet');
    return restoreAll(this.#store, at, caller, options);
  }

  async #editable(short: string, caller: Caller, verb: string): Promise<Link> {
    const link = await this.#store.find(linkId(short));
    if (link === undefined) throw new GolinkError('ERR_NOT_FOUND', `There is no link ${short}.`);
    if (!(await this.#access.mayEdit(link, caller)))
      throw new GolinkError('ERR_FORBIDDEN', `cannot ${verb} link owned by "${link.owner}"`);
    return link;
  }

  async #check(edit: Edit): Promise<void> {
    const { short, long, owner } = edit;
    if (short !== undefined) checkName(short);
    for (const alias of edit.aliases ?? []) checkName(alias);
    if (long !== undefined) {
      if (long.trim() === '') throw new GolinkError('ERR_DESTINATION', 'long must not be empty');
      checkDestination(long, this.#access.options.schemes);
    }
    checkTexts(edit);
    if ((edit.description ?? '').length > MAX_DESCRIPTION)
      throw new GolinkError(
        'ERR_REQUEST',
        `description may have at most ${MAX_DESCRIPTION} characters`,
      );
    checkWords('tags', edit.tags);
    checkWords('editors', edit.editors);
    checkWords('aliases', edit.aliases);
    if (owner !== undefined && owner !== '' && !(await this.#access.userExists(owner)))
      throw new GolinkError('ERR_OWNER', `new owner not a valid user: ${owner}`);
  }

  /** Throws GolinkError ERR_READ_ONLY. */
  refuseReadOnly(): void {
    if (this.#access.options.readOnly)
      throw new GolinkError('ERR_READ_ONLY', 'golink is in read-only mode');
  }
}

/** Throws GolinkError ERR_NAME. */
export function checkName(short: string): void {
  if (!isValidName(short))
    throw new GolinkError('ERR_NAME', 'short may only contain letters, numbers, dash, and period');
  if (short.length > MAX_NAME)
    throw new GolinkError('ERR_NAME', `short may have at most ${MAX_NAME} characters`);
}

/** Throws GolinkError ERR_REQUEST. */
export function checkTexts(edit: Pick<Edit, 'long' | 'owner' | 'description'>): void {
  for (const field of ['long', 'owner', 'description'] as const)
    if (!isKeepable(edit[field] ?? ''))
      throw new GolinkError('ERR_REQUEST', `${field} has a NUL or half a character in it`);
  if ((edit.owner ?? '').length > MAX_OWNER)
    throw new GolinkError('ERR_REQUEST', `owner may have at most ${MAX_OWNER} characters`);
}

/** Throws GolinkError ERR_REQUEST. */
export function checkWords(field: string, words: readonly string[] | undefined): void {
  if (words === undefined) return;
  if (words.length > MAX_WORDS)
    throw new GolinkError('ERR_REQUEST', `${field} may have at most ${MAX_WORDS} entries`);
  for (const word of words)
    if (word === '' || word.length > MAX_WORD || /[\s\u0000-\u001f\p{Surrogate}]/u.test(word))
      throw new GolinkError(
        'ERR_REQUEST',
        `${field}: "${word}" is empty, too long or has blanks in it`,
      );
}

/** The link with what the edit says. */
export function edited(link: Link, edit: Edit, now: number): Link {
  const { short = link.short, long = link.long, description = link.description } = edit;
  const id = linkId(short);
  const isRenamed = id !== link.id;
  const aliases = new Map((edit.aliases ?? link.aliases).map((alias) => [linkId(alias), alias]));
  aliases.delete(id);
  if (isRenamed && edit.keepOldName === true) aliases.set(link.id, link.short);
  return {
    ...link,
    ...{ id, short, long: long.trim(), description: description.trim(), lastEdit: now },
    owner: edit.owner ?? link.owner,
    tags: [...new Set((edit.tags ?? link.tags).map((tag) => tag.toLowerCase()))].sort(),
    editors: [...new Set(edit.editors ?? link.editors)],
    aliases: [...aliases.values()],
    openEdit: edit.openEdit ?? link.openEdit,
    append: edit.append ?? link.append,
  };
}

/** Rights and versions were checked against `seen`. Throws GolinkError ERR_CONFLICT. */
function stillTheSame(now: Link | undefined, seen: Link | undefined, options: EditOptions): Link {
  const wanted = options.ifVersion ?? seen?.version;
  if (now === undefined || now.version !== wanted)
    throw new GolinkError('ERR_CONFLICT', 'somebody else changed this link just now; look again');
  return now;
}
