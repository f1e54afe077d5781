// The selected mailbox: what can be asked of its messages. They are named by UID everywhere.

import type { MailboxCacheState } from './cache.ts'
import type { SessionCore } from './core.ts'
import { ImapClientError } from './errors.ts'
import type { FetchQuery } from './fetch-query.ts'
import type { MailboxState } from './mailbox-state.ts'
import {
  download,
  type Download,
  type FetchedMessage,
  fetchMessages,
  type FetchOptions,
  store,
  type StoreOptions,
  type Stored,
} from './operations/fetch.ts'
import { count, type Found, search, type SearchOptions, sort, type SortOrder, thread } from './operations/search.ts'
import { type Copied, copy, expunge, move, type Moved } from './operations/transfer.ts'
import type { ThreadNode } from './response/types.ts'
import { flagList, type SearchQuery } from './search-query.ts'
import type { Uids } from './uid-set.ts'

/** The selected mailbox. Messages are named by UID everywhere. Methods reject with `ImapClientError`, with status CLOSED once another mailbox was selected. */
export class SelectedMailbox {
  readonly #core: SessionCore
  readonly #state: MailboxState

  /** Made by `ImapClientSession.select`. */
  constructor(core: SessionCore, state: MailboxState) {
    this.#core = core
    this.#state = state
  }

  get name(): string {
    return this.#state.name
  }

  /** False once another mailbox was selected or the connection is over: nothing can be asked of it any more. */
  get selected(): boolean {
    return this.#core.selected === this.#state
  }

  /** Messages there are, as far as the server has told. */
  get exists(): number {
    return this.#state.exists
  }
  get readOnly(): boolean {
    return this.#state.readOnly
  }
  get uidValidity(): number {
    return this.#state.uidValidity
  }
  /** As it was when the mailbox was selected. */
  get uidNext(): number | undefined {
    return this.#state.uidNext
  }
  /** Undefined where the server counts no changes. */
  get highestModseq(): number | undefined {
    return this.#state.highestModseq
  }
  get flags(): readonly string[] {
    return this.#state.flags
  }
  /** Flags that last; with `\*` new keywords can be made. */
  get permanentFlags(): readonly string[] {
    return this.#state.permanentFlags
  }
  get mailboxId(): string | undefined {
    return this.#state.mailboxId
  }

  /** What is known now, to be kept and given to `select` next time; undefined when it was selected without `cache`. */
  get cache(): MailboxCacheState | undefined {
    return this.#state.cache?.state
  }

  #use(): SessionCore {
    if (this.selected) return this.#core
    throw this.#core.connection.error ?? new ImapClientError('CLOSED', `${this.#state.name} is not selected any more`)
  }

  /**
   * Messages one by one as they come, at the pace of the loop. Leaving the loop early is fine, and so is any other command inside it. The command is
   * sent when the first message is asked for. Throws `ImapClientError` at once for a query that cannot be asked.
   */
  fetch(uids: Uids, query: FetchQuery, options: FetchOptions = {}): AsyncIterableIterator<FetchedMessage> {
    return fetchMessages(this.#use(), uids, query, options)
  }

  /** One message; undefined when it is not there. */
  async fetchOne(uid: number, query: FetchQuery, options: FetchOptions = {}): Promise<FetchedMessage | undefined> {
    let found: FetchedMessage | undefined
    for await (const message of this.fetch(uid, query, options)) found ??= message
    return found
  }

  /** A section of a message (`''`: all of it) as a stream of octets, without setting \Seen. `binary`: without its transfer encoding. */
  async download(
    uid: number,
    section = '',
    options: { readonly binary?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<Download | undefined> {
    return download(this.#use(), uid, section, options)
  }

  /** Changes flags. Exactly one of `add`, `remove` and `set` is given. */
  async store(uids: Uids, options: StoreOptions): Promise<Stored> {
    const { add, remove, set } = options
    if ([add, remove, set].filter((flags) => flags !== undefined).length !== 1) {
      throw new ImapClientError('UNSUPPORTED', 'Flags are either added, removed or set')
    }
    return store(
      this.#use(),
      uids,
      `${add ? '+' : remove ? '-' : ''}FLAGS ${flagList(add ?? remove ?? set ?? [])}`,
      options,
    )
  }

  /** UIDs found, ascending. A query in text is sent as it is. */
  async search(query: SearchQuery | string, options: SearchOptions = {}): Promise<number[]> {
    return search(this.#use(), query, options)
  }

  async count(query: SearchQuery | string, options: SearchOptions = {}): Promise<Found> {
    return count(this.#use(), query, options)
  }

  /** UIDs found, in this order. Needs SORT. */
  async sort(order: readonly SortOrder[], query: SearchQuery | string, options: SearchOptions = {}): Promise<number[]> {
    return sort(this.#use(), order, query, options)
  }

  /** Conversations; numbers are UIDs. Needs THREAD. */
  async thread(
    algorithm: 'REFERENCES' | 'ORDEREDSUBJECT' | 'REFS',
    query: SearchQuery | string,
    options: SearchOptions = {},
  ): Promise<ThreadNode[]> {
    return thread(this.#use(), algorithm, query, options)
  }

  async copy(uids: Uids, to: string, signal?: AbortSignal): Promise<Copied> {
    return copy(this.#use(), uids, to, signal)
  }

  /** Where the server has no MOVE: copies, marks as \Deleted and expunges, never others than these. */
  async move(uids: Uids, to: string, signal?: AbortSignal): Promise<Moved> {
    return move(this.#use(), uids, to, signal)
  }

  /** Removes what is marked \Deleted: all, or among these UIDs only. */
  async expunge(uids?: Uids, signal?: AbortSignal): Promise<void> {
    return expunge(this.#use(), uids, signal)
  }
}
