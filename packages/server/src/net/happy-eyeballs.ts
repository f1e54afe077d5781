// RFC 8305: Happy Eyeballs. Many places may answer; whoever does first is spoken with, and those that do not answer cost a quarter of a second each.

import type { Socket } from 'node:net'
import type { Clock, Timer } from '../kernel/clock.ts'

/** §8, Connection Attempt Delay. Milliseconds. */
const STAGGER_MS = 250

export interface ConnectionRace<Place> {
  readonly clock: Clock
  /** Ends everything: the race rejects with its reason. */
  readonly signal: AbortSignal
  /** Connects to one place. Rejects when that fails, or with the signal's reason. */
  connect(place: Place, signal: AbortSignal): Promise<Socket>
  /** Is told of every place that was not reached. */
  failed(place: Place, error: Error): void
}

export interface Connected<Place> {
  readonly place: Place
  readonly socket: Socket
}

interface Attempt<Place> {
  readonly place: Place
  readonly giveUp: AbortController
  readonly outcome: Promise<Outcome<Place>>
}

type Outcome<Place> =
  | { readonly kind: 'up'; readonly attempt: Attempt<Place>; readonly socket: Socket }
  | { readonly kind: 'down'; readonly attempt: Attempt<Place>; readonly error: Error }

type Event<Place> =
  | Outcome<Place>
  | { readonly kind: 'place'; readonly place: Place }
  | { readonly kind: 'end'; readonly error?: unknown }
  | { readonly kind: 'time' }

/**
 * Connections to the places, in the order in which they come about; each place is given a quarter of a second before the next one is tried beside it. When one answers, the others are given
 * up (§5). Ask for a further connection only when the one before was of no use: then the others are tried again, and those that were not tried yet. Who stops asking (`return`) ends it all.
 * Rejects with the error of `places` where that was not followed by any attempt, or with the signal's reason.
 */
export async function* connections<Place>(
  places: AsyncIterator<Place, void>,
  race: ConnectionRace<Place>,
): AsyncGenerator<Connected<Place>, void> {
  const { clock, signal } = race
  const running = new Set<Attempt<Place>>()
  const again: Place[] = []
  let asking: Promise<Event<Place>> | undefined
  let ended: { readonly error?: unknown } | undefined
  let stagger: { readonly timer: Timer; readonly over: Promise<Event<Place>> } | undefined

  const start = (place: Place): void => {
    const giveUp = new AbortController()
    const attempt: Attempt<Place> = {
      place,
      giveUp,
      outcome: race.connect(place, AbortSignal.any([giveUp.signal, signal])).then(
        (socket) => ({ kind: 'up', attempt, socket }),
        (error: unknown) => ({ kind: 'down', attempt, error: error as Error }),
      ),
    }
    running.add(attempt)
    const { promise: over, resolve } = Promise.withResolvers<Event<Place>>()
    stagger = { timer: clock.timeout(STAGGER_MS, () => resolve({ kind: 'time' })), over }
  }
  const goOn = (): void => {
    stagger?.timer.cancel()
    stagger = undefined
  }
  const stop = (): readonly Place[] => {
    goOn()
    const stopped = [...running]
    running.clear()
    for (const { giveUp, outcome } of stopped) {
      giveUp.abort(new Error('another address answered first'))
      void outcome.then((event) => event.kind === 'up' && event.socket.destroy())
    }
    return stopped.map(({ place }) => place)
  }

  try {
    for (;;) {
      if (stagger === undefined) {
        const next = again.shift()
        if (next !== undefined) start(next)
        else if (ended === undefined) asking ??= nextOf(places)
      }
      const waiting = [...(asking ? [asking] : []), ...(stagger && running.size > 0 ? [stagger.over] : [])]
      if (running.size === 0 && waiting.length === 0) break
      const event = await Promise.race([...waiting, ...[...running].map(({ outcome }) => outcome)])
      signal.throwIfAborted()
      switch (event.kind) {
        case 'place':
          asking = undefined
          start(event.place)
          break
        case 'end':
          asking = undefined
          ended = event
          break
        case 'time':
          goOn()
          break
        case 'down':
          running.delete(event.attempt)
          race.failed(event.attempt.place, event.error)
          // §5: whoever failed is not waited for.
          goOn()
          break
        case 'up':
          running.delete(event.attempt)
          again.unshift(...stop())
          yield { place: event.attempt.place, socket: event.socket }
      }
    }
    if (ended?.error !== undefined) throw ended.error
  } finally {
    stop()
    await places.return?.()
  }
}

const nextOf = <Place>(places: AsyncIterator<Place, void>): Promise<Event<Place>> =>
  places.next().then(
    ({ done, value }) => (done === true ? { kind: 'end' } : { kind: 'place', place: value as Place }),
    (error: unknown) => ({ kind: 'end', error }),
  )
