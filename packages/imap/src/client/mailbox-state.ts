// The selected mailbox as the server describes it, kept true by what it tells (RFC 9051 §5.2, RFC 7162).

import type { NumberSet } from '../wire/number-set.ts'
import type { MailboxCache } from './cache.ts'
import type { ClientEvent } from './events.ts'
import type { FetchResponse, ResponseCode, UntaggedResponse } from './response/types.ts'

export class MailboxState {
  readonly name: string
  readonly #emit: (event: ClientEvent) => void
  /** Called when there are not as many messages as the cache knows. */
  grown: (() => void) | undefined
  readonly cache: MailboxCache | undefined
  /** The cache holds all that was true at some moment since SELECT. */
  synchronised = false
  readOnly = false
  exists = 0
  uidValidity = 0
  /** As it was at SELECT; undefined when the server did not say. */
  uidNext: number | undefined
  /** Undefined where the mailbox has no mod-sequences. */
  highestModseq: number | undefined
  flags: readonly string[] = []
  /** Flags that can be changed for good; `\*`: new keywords can be made. */
  permanentFlags: readonly string[] = []
  mailboxId: string | undefined

  constructor(name: string, cache: MailboxCache | undefined, emit: (event: ClientEvent) => void) {
    this.name = name
    this.cache = cache
    this.#emit = emit
  }

  /** What SELECT says in response codes. */
  code(code: ResponseCode | undefined): void {
    if (code?.kind === 'permanentflags') this.permanentFlags = code.flags
    if (code?.name === 'MAILBOXID') this.mailboxId = code.text.replace(/^\(|\)$/g, '')
    if (code?.kind !== 'number') return
    if (code.name === 'UIDVALIDITY') this.uidValidity = code.number
    if (code.name === 'UIDNEXT') this.uidNext = code.number
    if (code.name === 'HIGHESTMODSEQ') this.highestModseq = code.number
  }

  /** The server says that nothing has a higher mod-sequence, and has told all below. */
  confirm(modseq: number): void {
    this.highestModseq = modseq
    if (this.cache !== undefined && this.synchronised && modseq > (this.cache.modseq ?? 0)) this.cache.modseq = modseq
  }

  /** News. `taken`: a command has asked for it. */
  take(response: UntaggedResponse, taken: boolean): void {
    switch (response.kind) {
      case 'exists':
        if (response.number === this.exists) break
        this.exists = response.number
        this.#emit({ kind: 'exists', count: this.exists })
        if (this.cache !== undefined && this.exists !== this.cache.uids.length) this.grown?.()
        break
      case 'expunge':
        this.exists = Math.max(0, this.exists - 1)
        this.cache?.removeSequence(response.number)
        this.#emit({ kind: 'expunge', sequence: response.number })
        break
      case 'vanished':
        if (response.earlier) break
        this.exists = Math.max(0, this.exists - size(response.uids))
        this.cache?.remove(response.uids)
        this.#emit({ kind: 'vanished', uids: format(response.uids) })
        break
      case 'flags':
        this.flags = response.flags
        break
      case 'fetch':
        this.#flags(response, taken)
        break
      default:
    }
  }

  #flags({ sequence, message: { uid, flags, modseq } }: FetchResponse, taken: boolean): void {
    if (flags === undefined) return
    const known = uid ?? (sequence === undefined ? undefined : this.cache?.uids[sequence - 1])
    if (known !== undefined) this.cache?.set(known, flags)
    if (!taken) this.#emit({ kind: 'flags', sequence, uid: known, flags, modseq })
  }
}

const size = (set: NumberSet): number => set.reduce((sum, { from, to }) => sum + Math.abs(to - from) + 1, 0)

const format = (set: NumberSet): string =>
  set.map(({ from, to }) => (from === to ? `${from}` : `${from}:${to}`)).join(',')
