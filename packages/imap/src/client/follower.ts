// A mailbox followed for good: connected, brought up to date, listened to, and after every loss of the connection again.

import { type MailboxCacheState, type MailboxChange } from './cache.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import { ImapClientError } from './errors.ts'
import type { IdleOptions } from './idle.ts'
import type { ImapClientSession } from './session.ts'

/** Which mailbox is followed, from what state on, and who hears of changes. */
export interface FollowOptions {
  /** Makes a session that is logged in: `() => connectImap({ ... })`. */
  readonly connect: (signal: AbortSignal) => Promise<ImapClientSession>
  readonly mailbox: string
  /** What was known last time. */
  readonly state?: MailboxCacheState
  /** Every change, those missed while there was no connection included, in the order in which they become known. Must not throw. */
  readonly change: (change: MailboxChange) => void
  /** The mailbox is up to date, after each connection. `session` can be used, but must stay in this mailbox. */
  readonly ready?: (state: MailboxCacheState, session: ImapClientSession) => void
  /** The connection is lost, or could not be made; the next try follows after this time. */
  readonly lost?: (error: unknown, delay: number) => void
  /** Milliseconds before the first and before any later try at most; the time doubles in between. Default 1 s, 5 min. */
  readonly delays?: { readonly first: number; readonly most: number }
  readonly idle?: Omit<IdleOptions, 'signal'>
  /** Ends the following. */
  readonly signal: AbortSignal
  readonly clock?: Clock
  /** From 0 to 1. Default `Math.random`. */
  readonly random?: () => number
}

/** Codes of a refusal that another try will not change (RFC 5530). */
const FINAL = new Set([
  'AUTHENTICATIONFAILED',
  'AUTHORIZATIONFAILED',
  'EXPIRED',
  'PRIVACYREQUIRED',
  'NONEXISTENT',
  'NOPERM',
])

/**
 * Follows a mailbox until `signal` is aborted; resolves then with what is known at last. Rejects when trying again is of no use: wrong password, no
 * such mailbox, a server that cannot do what is needed or prove who it is.
 */
export async function followMailbox(options: FollowOptions): Promise<MailboxCacheState | undefined> {
  const { signal, clock = systemClock, random = Math.random, delays = { first: 1000, most: 300_000 } } = options
  let state = options.state
  let tries = 0
  while (!signal.aborted) {
    let session: ImapClientSession | undefined
    let stop: (() => void) | undefined
    try {
      const opened = (session = await options.connect(signal))
      // Kept also when the connection ends in the middle of catching up: what was told once is not told again.
      const keep = (): void => void (state = opened.cache ?? state)
      stop = opened.listen((event) => {
        if (event.kind === 'change') options.change(event.change)
        if (event.kind === 'closed') keep()
      })
      await opened.select(options.mailbox, { readOnly: true, cache: state ?? true, signal })
      tries = 0
      keep()
      if (state !== undefined) options.ready?.(state, opened)
      await opened.idle({ ...options.idle, signal })
      keep()
      await opened.logout()
    } catch (error) {
      session?.close()
      if (signal.aborted) break
      if (isFinal(error)) throw error
      const full = Math.min(delays.most, delays.first * 2 ** Math.min(tries++, 30))
      // Half of it by chance: after a restart of the server not all come back at once.
      const delay = Math.round(full * (0.5 + random() / 2))
      options.lost?.(error, delay)
      await pause(clock, delay, signal)
    } finally {
      stop?.()
    }
  }
  return state
}

function isFinal(error: unknown): boolean {
  // What is no failure of the connection or the server is a defect, of ours or of a listener.
  if (!(error instanceof ImapClientError)) return true
  if (error.status === 'UNSUPPORTED' || error.status === 'PROTOCOL') return true
  return error.status === 'NO' && error.code !== undefined && FINAL.has(error.code)
}
