// SELECT and EXAMINE (RFC 9051 §6.3.2), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

import { formatNumbers, type NumberSet } from '../../wire/number-set.ts'
import { MailboxCache, type MailboxCacheState } from '../cache.ts'
import type { SessionCore } from '../core.ts'
import { MailboxState } from '../mailbox-state.ts'
import type { StatusResponse, UntaggedResponse } from '../response/types.ts'
import { follow, synchronise } from './synchronise.ts'

/** How a mailbox is selected. */
export interface SelectOptions {
  /** EXAMINE: nothing is changed, not even by reading. */
  readonly readOnly?: boolean
  /**
   * Keep track of the messages and their flags: from what was known of them earlier, or from the start. SELECT then ends when all that has changed
   * meanwhile is known; it comes, like all later changes, as events of kind `change`.
   */
  readonly cache?: MailboxCacheState | true
  readonly signal?: AbortSignal
}

/** Octets of known UIDs that are told to the server: it then names only those gone, and no UIDs that never were. */
const KNOWN = 4000

export async function select(core: SessionCore, name: string, options: SelectOptions): Promise<MailboxState> {
  const { cache: known, readOnly = false, signal } = options
  const emit = core.emit.bind(core)
  const cache =
    known === undefined
      ? undefined
      : new MailboxCache(known === true ? undefined : known, (change) => emit({ kind: 'change', change }))
  const state = new MailboxState(name, cache, emit)
  const asked = parameters(core, cache)
  const news = new News(state, asked.includes('QRESYNC'))
  const command = readOnly ? 'EXAMINE' : 'SELECT'
  // RFC 9051 §6.3.2: whatever comes of it, the mailbox selected before is not any more.
  core.selected = undefined
  let complete = false
  await core.run(
    {
      name: command,
      parts: [`${command} `, core.mailbox(name), asked],
      alone: true,
      accept: (response) => news.take(response),
      ended({ status, code }: StatusResponse) {
        if (status !== 'OK') return
        state.readOnly = readOnly || code?.name === 'READ-ONLY'
        complete = news.apply()
        core.selected = state
      },
    },
    signal,
  )
  if (cache !== undefined) {
    await synchronise(core, state, complete, signal)
    follow(core, state)
  }
  return state
}

function parameters(core: SessionCore, cache: MailboxCache | undefined): string {
  if (cache?.modseq !== undefined && cache.modseq > 0 && core.enabled.has('QRESYNC')) {
    const uids = formatNumbers(cache.uids)
    const told = uids === '' || uids.length > KNOWN ? '' : ` ${uids}`
    return ` (QRESYNC (${cache.uidValidity} ${cache.modseq}${told}))`
  }
  return core.has('CONDSTORE') && !core.enabled.has('CONDSTORE') && !core.enabled.has('QRESYNC') ? ' (CONDSTORE)' : ''
}

/** What SELECT tells, put together when it has ended. */
class News {
  readonly #state: MailboxState
  readonly #qresync: boolean
  #vanished: NumberSet[] = []
  #changed: [uid: number, flags: readonly string[]][] = []

  constructor(state: MailboxState, qresync: boolean) {
    this.#state = state
    this.#qresync = qresync
  }

  take(response: UntaggedResponse): boolean {
    const state = this.#state
    switch (response.kind) {
      case 'status':
        // RFC 7162 §3.2.11: what came before this was of the mailbox selected before.
        if (response.code?.name === 'CLOSED') this.#vanished = this.#changed = []
        state.code(response.code)
        return response.status === 'OK'
      case 'exists':
        state.exists = response.number
        return true
      case 'flags':
        state.flags = response.flags
        return true
      case 'vanished':
        this.#vanished = [...this.#vanished, response.uids]
        return true
      case 'fetch': {
        const { uid, flags } = response.message
        if (uid !== undefined && flags !== undefined) this.#changed.push([uid, flags])
        return true
      }
      case 'recent':
        return true
      case 'list':
        // RFC 9051 §6.3.2: the mailbox itself is listed, under its own name.
        return [response.name, response.oldName].some((name) => name?.toLowerCase() === state.name.toLowerCase())
      default:
        return false
    }
  }

  /** True when the cache is complete by this alone. */
  apply(): boolean {
    const { cache, uidValidity, exists } = this.#state
    if (cache === undefined) return false
    const told = this.#qresync && uidValidity === cache.uidValidity
    cache.validate(uidValidity)
    if (!told) return false
    for (const set of this.#vanished) cache.remove(set)
    for (const [uid, flags] of this.#changed) cache.set(uid, flags)
    return this.#state.highestModseq !== undefined && cache.uids.length === exists
  }
}
