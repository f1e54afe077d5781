// RFC 2177 IDLE, and asking now and then where it is missing.

import { pause } from './clock.ts'
import type { SessionCore } from './core.ts'
import { ImapClientError } from './errors.ts'
import type { Request } from './request.ts'

/** How long to wait for news, and how often to ask where the server has no IDLE (RFC 2177). Times are milliseconds. */
export interface IdleOptions {
  /** Ends the idling: there is no other way. */
  readonly signal: AbortSignal
  /** Milliseconds after which IDLE begins anew: servers log out who is silent for 30 minutes (RFC 2177). Default 29 minutes. */
  readonly renew?: number
  /** Milliseconds between NOOPs where the server has no IDLE. Default 1 minute. */
  readonly poll?: number
}

/**
 * Hears of changes as they happen: they come as events. Other commands may be given meanwhile; IDLE steps aside for them. Resolves when `signal` is
 * aborted, rejects when the connection fails.
 */
export async function idle(core: SessionCore, options: IdleOptions): Promise<void> {
  const { signal, renew = 29 * 60_000, poll = 60_000 } = options
  let able = core.has('IDLE')
  while (!signal.aborted) {
    if (core.connection.error !== undefined) throw core.connection.error
    if (able) able = await idleOnce(core, signal, renew)
    else {
      await core.run('NOOP')
      await pause(core.clock, poll, signal)
    }
  }
}

/** False when the server refuses although it offers IDLE. */
async function idleOnce(core: SessionCore, signal: AbortSignal, renew: number): Promise<boolean> {
  const { connection } = core
  let state: 'asked' | 'idling' | 'done' = 'asked'
  let enough = false
  const stop = (): void => {
    enough = true
    if (state !== 'idling') return
    state = 'done'
    connection.write('DONE\r\n')
    connection.watch()
  }
  const request: Request = {
    name: 'IDLE',
    parts: ['IDLE'],
    alone: true,
    // While idling the server owes us nothing. Before and after, an answer.
    get patient() {
      return state === 'idling'
    },
    continued() {
      state = 'idling'
      connection.watch()
      if (enough || connection.waiting) stop()
    },
    interrupt: stop,
  }
  const timer = core.clock.after(renew, stop)
  signal.addEventListener('abort', stop)
  try {
    await core.run(request)
    return true
  } catch (error) {
    if (error instanceof ImapClientError && (error.status === 'NO' || error.status === 'BAD')) return false
    throw error
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', stop)
  }
}
