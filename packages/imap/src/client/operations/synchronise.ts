// Bringing what is known of a mailbox up to date: RFC 7162 §6, RFC 4549 §3.
//
// QRESYNC has done it all within SELECT. CONDSTORE tells changed flags; who is gone is looked for only when the count is wrong. Without both, the
// UIDs and flags of all messages are read and compared.

import type { SessionCore } from '../core.ts'
import type { MailboxCache } from '../cache.ts'
import type { MailboxState } from '../mailbox-state.ts'
import { search } from './search.ts'

/** `complete`: QRESYNC was used, and what it told is consistent. */
export async function synchronise(
  core: SessionCore,
  state: MailboxState,
  complete: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { cache, highestModseq } = state
  if (cache === undefined) return
  if (!complete) {
    const since = cache.modseq
    if (since !== undefined && highestModseq !== undefined && cache.uids.length > 0 && core.has('CONDSTORE')) {
      await changes(core, cache, since, highestModseq, signal)
    }
    if (cache.uids.length !== state.exists || since === undefined || highestModseq === undefined) {
      await repair(core, state, cache, since !== undefined && highestModseq !== undefined, signal)
    }
  }
  cache.modseq = highestModseq
  state.synchronised = true
}

/** Flags that changed, and messages that came. */
async function changes(
  core: SessionCore,
  cache: MailboxCache,
  since: number,
  highest: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (highest === since) return
  const last = cache.uids.at(-1) ?? 0
  await read(core, `1:${last}`, signal, ` (CHANGEDSINCE ${since})`)
  await read(core, `${last + 1}:*`, signal)
}

/** The count is wrong, or nothing is known to be right. */
async function repair(
  core: SessionCore,
  state: MailboxState,
  cache: MailboxCache,
  flagsAreRight: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (flagsAreRight && cache.uids.length > 0) {
    cache.retain(await search(core, 'ALL', signal === undefined ? {} : { signal }))
    if (cache.uids.length === state.exists) return
  }
  const seen = state.exists === 0 ? [] : await read(core, '1:*', signal)
  cache.retain(seen)
}

/** Reads flags into the cache (what FETCH tells goes there by itself); answers the UIDs, ascending. */
async function read(core: SessionCore, set: string, signal: AbortSignal | undefined, modifier = ''): Promise<number[]> {
  const { results } = await core.collect(
    { name: 'UID FETCH', parts: [`UID FETCH ${set} (UID FLAGS)${modifier}`] },
    (response) =>
      response.kind === 'fetch' && response.message.flags !== undefined ? response.message.uid : undefined,
    signal,
  )
  return results.sort((a, b) => a - b)
}

/** From now on, new messages are read as soon as the server tells that there are some. */
export function follow(core: SessionCore, state: MailboxState): void {
  const { cache } = state
  if (cache === undefined) return
  const behind = (): boolean => core.selected === state && cache.uids.length !== state.exists
  let reading = false
  const fill = async (): Promise<void> => {
    await read(core, `${(cache.uids.at(-1) ?? 0) + 1}:*`, undefined)
    if (behind()) await repair(core, state, cache, true, undefined)
  }
  state.grown = () => {
    if (reading) return
    reading = true
    fill()
      // When the connection has failed, everybody knows; a server that refuses is asked again with the next news.
      .catch(() => undefined)
      .finally(() => {
        reading = false
      })
  }
  if (behind()) state.grown()
}
