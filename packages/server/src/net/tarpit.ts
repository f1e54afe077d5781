// Who makes many errors gets slow answers, and in the end none: one memory for all protocols.

import * as v from 'valibot'
import type { Clock } from '../kernel/clock.ts'
import { type Scope, serviceKey } from '../kernel/scope.ts'
import { duration } from '../kernel/units.ts'
import { addressGroup, type AddressSet } from './addresses.ts'
import type { Bans } from './contracts.ts'

const count = (fallback: number, what: string) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.description(what)), fallback)

/** The setting `network.tarpit`. */
export const tarpitConfig = v.strictObject({
  free: count(5, 'errors of one address, or one IPv6 /64, that cost nothing'),
  'first-delay': v.pipe(
    duration('500ms'),
    v.description('how long the answer to the next one waits; doubled with each more'),
  ),
  'longest-delay': v.pipe(duration('10s'), v.description('how long an answer waits at most')),
  'half-life': v.pipe(duration('10m'), v.minValue(1000), v.description('after this time an error counts half')),
  'ban-at': count(100, 'so many errors are a ban; 0: never'),
  'ban-for': v.pipe(duration('1h'), v.description('how long such a ban is')),
})
export type TarpitConfig = v.InferOutput<typeof tarpitConfig>

export interface Tarpit {
  /** Counts an error of a peer that is nobody's account: refused, unknown, malformed. Resolves when it may be answered. */
  error(address: string): Promise<void>
}

export const Tarpit = serviceKey<Tarpit>('tarpit')

interface Score {
  points: number
  at: number
}

/** Addresses that are remembered; the one that was quiet longest is forgotten first. */
const MAX_ADDRESSES = 20_000
/** Answers that wait at once; beyond that they come at once, as each holds a connection. */
const MAX_HELD = 2000

/** What is remembered outlives a reload of the config. */
class Memory {
  readonly scores = new Map<string, Score>()
}
const TarpitMemory = serviceKey<Memory>('tarpit-memory')

/** The tarpit of one generation. Addresses in `exempt` are never slowed down; what waits is answered when `scope` closes. */
export async function openTarpit(
  scope: Scope,
  config: TarpitConfig,
  bans: Bans | undefined,
  exempt: AddressSet,
): Promise<Tarpit> {
  const memory = await scope.keep(TarpitMemory, () => new Memory())
  const held = new Set<() => void>()
  scope.defer(() => {
    for (const release of held) release()
  })
  const slowed = scope.metrics.counter(
    'aviso_tarpit_total',
    'Answers that were held back, as the peer made many errors',
  )
  return {
    async error(address) {
      if (address === '' || exempt.has(address)) return
      // An error a moment ago counts as a whole one.
      const points = Math.round(add(memory.scores, addressGroup(address), config['half-life'], scope.clock))
      if (config['ban-at'] > 0 && points >= config['ban-at']) {
        memory.scores.delete(addressGroup(address))
        bans?.ban(address, config['ban-for'], `${config['ban-at']} errors`)
      }
      const over = points - config.free
      if (over <= 0 || held.size >= MAX_HELD || scope.signal.aborted) return
      slowed.inc()
      const ms = Math.min(config['longest-delay'], config['first-delay'] * 2 ** Math.min(over - 1, 30))
      await new Promise<void>((resolve) => {
        const release = (): void => {
          timer.cancel()
          held.delete(release)
          resolve()
        }
        const timer = scope.clock.timeout(ms, release)
        held.add(release)
      })
    },
  }
}

/** Adds one to the score of `key`, and gives what it is then. */
function add(scores: Map<string, Score>, key: string, halfLife: number, clock: Clock): number {
  const now = clock.monotonic()
  const before = scores.get(key)
  scores.delete(key)
  if (scores.size >= MAX_ADDRESSES) {
    const oldest = scores.keys().next()
    if (oldest.done !== true) scores.delete(oldest.value)
  }
  const points = (before === undefined ? 0 : before.points * 0.5 ** ((now - before.at) / halfLife)) + 1
  scores.set(key, { points, at: now })
  return points
}
