// A session with an IMAP server, logged in: what can be asked of the account. What can be asked of messages is in mailbox.ts.

import type { MailboxCacheState } from './cache.ts'
import type { Capabilities } from './capabilities.ts'
import type { SessionCore } from './core.ts'
import { ImapClientError } from './errors.ts'
import type { ClientEvent } from './events.ts'
import { idle, type IdleOptions } from './idle.ts'
import { SelectedMailbox } from './mailbox.ts'
import { type Namespaces, namespaces, quota, type QuotaRoot } from './operations/account.ts'
import { acl, type AclChange, grantable, type GrantableRights, myRights, setAcl } from './operations/acl.ts'
import { append, type Appended, type AppendMessage } from './operations/append.ts'
import {
  list,
  type ListedMailbox,
  type ListOptions,
  type MailboxStatus,
  status,
  type StatusItem,
} from './operations/list.ts'
import { getMetadata, type Metadata, type MetadataOptions, setMetadata } from './operations/metadata.ts'
import { notify, type NotifyGroup, type NotifyOptions } from './operations/notify.ts'
import { select, type SelectOptions } from './operations/select.ts'
import type { Quirk } from './response/quirks.ts'
import type { StatusResponse, UntaggedResponse } from './response/types.ts'
import { word } from './search-query.ts'

/**
 * Methods may be called without waiting for each other: commands go out at once where the protocol allows it. They reject with `ImapClientError` (NO,
 * BAD, a lost connection) or with the reason of their `signal`. Mailbox names are text as people read it, with the server's own delimiter.
 */
export class ImapClientSession {
  readonly #core: SessionCore
  #mailbox: SelectedMailbox | undefined

  /** Made by `connectImap`. */
  constructor(core: SessionCore) {
    this.#core = core
  }

  get capabilities(): Capabilities {
    return this.#core.capabilities
  }

  /** Extensions that were enabled, in capitals. */
  get enabled(): ReadonlySet<string> {
    return this.#core.enabled
  }

  /** Who the server says it is (ID): `name`, `version`, ... */
  get serverId(): ReadonlyMap<string, string | undefined> {
    return this.#core.serverId
  }

  /** What the server got wrong so far. */
  get quirks(): ReadonlySet<Quirk> {
    return this.#core.quirks
  }

  get compressed(): boolean {
    return this.#core.connection.compressed
  }

  /** Why the session is over; undefined while it is not. */
  get error(): ImapClientError | undefined {
    return this.#core.connection.error
  }

  /** The selected mailbox. */
  get mailbox(): SelectedMailbox | undefined {
    return this.#mailbox?.selected === true ? this.#mailbox : undefined
  }

  /** What is known of the mailbox that is selected, or being selected, with `cache`: also in the last moment, when `closed` is told. */
  get cache(): MailboxCacheState | undefined {
    return this.#core.selected?.cache?.state
  }

  /** Calls `listener` with what the server tells unasked, until the returned function is called. It must not throw. */
  listen(listener: (event: ClientEvent) => void): () => void {
    return this.#core.listen(listener)
  }

  async list(options: ListOptions = {}): Promise<ListedMailbox[]> {
    return list(this.#core, options)
  }

  /** Items that the server does not know are left out. */
  async status(mailbox: string, items: readonly StatusItem[], signal?: AbortSignal): Promise<MailboxStatus> {
    return status(this.#core, mailbox, items, signal)
  }

  /** `role`: `\Sent`, ... (needs CREATE-SPECIAL-USE). */
  async create(
    mailbox: string,
    options: { readonly role?: string; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const { role, signal } = options
    if (role !== undefined) this.#core.need('CREATE-SPECIAL-USE', 'make a mailbox for a special use')
    const use = role === undefined ? '' : ` (USE (\\${word(role.replace(/^\\/, ''))}))`
    await this.#core.run({ name: 'CREATE', parts: ['CREATE ', this.#core.mailbox(mailbox), use] }, signal)
  }

  async delete(mailbox: string, signal?: AbortSignal): Promise<void> {
    await this.#onMailbox('DELETE', mailbox, signal)
  }

  async rename(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const parts = ['RENAME ', this.#core.mailbox(from), ' ', this.#core.mailbox(to)]
    await this.#core.run({ name: 'RENAME', parts }, signal)
  }

  async subscribe(mailbox: string, signal?: AbortSignal): Promise<void> {
    await this.#onMailbox('SUBSCRIBE', mailbox, signal)
  }

  async unsubscribe(mailbox: string, signal?: AbortSignal): Promise<void> {
    await this.#onMailbox('UNSUBSCRIBE', mailbox, signal)
  }

  async #onMailbox(command: string, mailbox: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#core.run({ name: command, parts: [`${command} `, this.#core.mailbox(mailbox)] }, signal)
  }

  async namespaces(signal?: AbortSignal): Promise<Namespaces> {
    return namespaces(this.#core, signal)
  }

  /** What limits a mailbox, and how much is used; none where the server has no QUOTA. */
  async quota(mailbox = 'INBOX', signal?: AbortSignal): Promise<QuotaRoot[]> {
    return quota(this.#core, mailbox, signal)
  }

  /**
   * Annotations (RFC 5464) of a mailbox, or (`undefined`) of the server: `/private/comment`, `/shared/comment`, ... Names may come back in another case.
   */
  async metadata(
    mailbox: string | undefined,
    names: readonly string[],
    options: MetadataOptions = {},
  ): Promise<Metadata> {
    return getMetadata(this.#core, mailbox, names, options)
  }

  /** Sets annotations of a mailbox, or (`undefined`) of the server; those that are undefined are removed. All or none. */
  async setMetadata(
    mailbox: string | undefined,
    entries: Readonly<Record<string, string | Uint8Array | undefined>>,
    signal?: AbortSignal,
  ): Promise<void> {
    return setMetadata(this.#core, mailbox, entries, signal)
  }

  /** Who may do what with a mailbox: identifier → rights, any of `lrswipkxtea` (RFC 4314). Needs the right `a`, as all of ACL but `myRights` does. */
  async acl(mailbox: string, signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
    return acl(this.#core, mailbox, signal)
  }

  async setAcl(mailbox: string, identifier: string, change: AclChange, signal?: AbortSignal): Promise<void> {
    return setAcl(this.#core, mailbox, identifier, change, signal)
  }

  async deleteAcl(mailbox: string, identifier: string, signal?: AbortSignal): Promise<void> {
    return setAcl(this.#core, mailbox, identifier, undefined, signal)
  }

  /** Which rights `identifier` can be given (LISTRIGHTS). */
  async grantableRights(mailbox: string, identifier: string, signal?: AbortSignal): Promise<GrantableRights> {
    return grantable(this.#core, mailbox, identifier, signal)
  }

  /** What this user may do with a mailbox. */
  async myRights(mailbox: string, signal?: AbortSignal): Promise<string> {
    return myRights(this.#core, mailbox, signal)
  }

  /**
   * Asks to be told of changes unasked (RFC 5465), as events: `exists`, `expunge`, `flags` and `message` of the selected mailbox, `mailbox-status` of others,
   * `mailbox`, `metadata`, `notify-overflow`. Replaces what was asked for before; without groups nothing is told any more. Answers the counts that `status` asks for.
   */
  async notify(
    groups: readonly NotifyGroup[],
    options: NotifyOptions = {},
  ): Promise<ReadonlyMap<string, MailboxStatus>> {
    return notify(this.#core, groups, options)
  }

  /** Files one message, or many: all or none where the server has MULTIAPPEND. With TRYCREATE as `code` the mailbox has to be made first. */
  async append(
    mailbox: string,
    messages: AppendMessage | readonly AppendMessage[],
    signal?: AbortSignal,
  ): Promise<Appended> {
    return append(this.#core, mailbox, [messages].flat(), signal)
  }

  /** Selects a mailbox; the one selected before cannot be used any more. */
  async select(mailbox: string, options: SelectOptions = {}): Promise<SelectedMailbox> {
    const state = await select(this.#core, mailbox, options)
    return (this.#mailbox = new SelectedMailbox(this.#core, state))
  }

  /** Leaves the selected mailbox without expunging anything. */
  async unselect(signal?: AbortSignal): Promise<void> {
    const { selected } = this.#core
    if (selected === undefined) return
    const ended = ({ status }: StatusResponse): void => {
      if (status === 'OK') this.#core.selected = undefined
    }
    if (this.#core.has('UNSELECT')) {
      await this.#core.run({ name: 'UNSELECT', parts: ['UNSELECT'], alone: true, ended }, signal)
      return
    }
    // CLOSE expunges, except after EXAMINE (RFC 3501 §6.4.2).
    if (!selected.readOnly) await select(this.#core, selected.name, { readOnly: true, ...(signal && { signal }) })
    await this.#core.run({ name: 'CLOSE', parts: ['CLOSE'], alone: true, ended }, signal)
  }

  /** Waits for news of the selected mailbox: see `idle`. */
  async idle(options: IdleOptions): Promise<void> {
    return idle(this.#core, options)
  }

  async noop(signal?: AbortSignal): Promise<void> {
    await this.#core.run('NOOP', signal)
  }

  /**
   * Any other command. `parts`: text without line ends, and literals. Answers the untagged responses that `pick` is true for, and the tagged OK.
   */
  async command(
    name: string,
    parts: readonly (string | { readonly octets: Uint8Array })[],
    pick: (response: UntaggedResponse) => boolean = () => false,
    signal?: AbortSignal,
  ): Promise<{ results: UntaggedResponse[]; end: StatusResponse }> {
    return this.#core.collect({ name, parts }, (response) => (pick(response) ? response : undefined), signal)
  }

  /** Says goodbye and closes. Does not reject: the connection is over in any case. */
  async logout(): Promise<void> {
    await this.#core.run({ name: 'LOGOUT', parts: ['LOGOUT'], alone: true }).catch(() => undefined)
    this.close()
  }

  /** Closes at once; commands under way reject. */
  close(): void {
    this.#core.connection.fail(new ImapClientError('CLOSED', 'The connection was closed by this client'))
  }
}
