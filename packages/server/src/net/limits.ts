// Limits: token buckets, counted by name and key.

import * as v from 'valibot'
import type { Clock } from '../kernel/clock.ts'
import { duration } from '../kernel/units.ts'
import { addressGroup } from './addresses.ts'
import type { Limits } from './contracts.ts'

const positive = v.pipe(v.number(), v.minValue(0.001, 'expected a number above 0'))

/** The `limits` part of the config: what a peer may do how often. */
export const limitsConfig = v.pipe(
  v.record(
    v.string(),
    v.strictObject({
      rate: v.pipe(positive, v.description('how many are let through in the time of `per`')),
      per: v.pipe(duration('1m'), v.description('the time that `rate` counts for')),
      burst: v.optional(
        v.pipe(
          positive,
          v.description('how many are let through at once after a quiet time; as many as `rate` if not set'),
        ),
      ),
    }),
  ),
  v.description('How often a peer may do a thing, by the name of the limit. What is not named here is not limited.'),
)
export type LimitsConfig = v.InferOutput<typeof limitsConfig>

interface Bucket {
  tokens: number
  at: number
}

/** Of each limit: more keys than this cannot be told apart, and the one that was quiet longest is forgotten first. */
const MAX_KEYS = 100_000
/** How many of the oldest buckets are looked at for a full one, which can be forgotten without loss. */
const LOOK = 8

/** A limit's buckets, the most recently used last. */
class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>()
  readonly #burst: number
  readonly #perMs: number
  readonly #maxKeys: number

  constructor(rate: number, per: number, burst: number, maxKeys: number) {
    this.#burst = burst
    this.#perMs = rate / Math.max(1, per)
    this.#maxKeys = maxKeys
  }

  take(key: string, amount: number, now: number): boolean {
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      if (amount > this.#burst) return false
      if (this.#buckets.size >= this.#maxKeys) this.#makeRoom(now)
      this.#buckets.set(key, { tokens: this.#burst - amount, at: now })
      return true
    }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    bucket.tokens = this.#level(bucket, now)
    bucket.at = now
    if (bucket.tokens < amount) return false
    bucket.tokens -= amount
    return true
  }

  get size(): number {
    return this.#buckets.size
  }

  #level(bucket: Bucket, now: number): number {
    return Math.min(this.#burst, bucket.tokens + Math.max(0, now - bucket.at) * this.#perMs)
  }

  #makeRoom(now: number): void {
    let looked = 0
    let oldest: string | undefined
    for (const [key, bucket] of this.#buckets) {
      oldest ??= key
      if (this.#level(bucket, now) >= this.#burst) {
        this.#buckets.delete(key)
        return
      }
      if (++looked === LOOK) break
    }
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

/** Counts by the config's limits. A key that is an IPv6 address stands for its /64. `maxKeys` bounds the memory of each limit. */
export function createLimits(clock: Clock, config: LimitsConfig, maxKeys = MAX_KEYS): Limits {
  const limits = new Map(
    Object.entries(config).map(([name, { rate, per, burst }]) => [
      name,
      new TokenBuckets(rate, per, burst ?? rate, maxKeys),
    ]),
  )
  return {
    take(name, key, amount = 1) {
      const buckets = limits.get(name)
      return (
        buckets === undefined || buckets.take(key.includes(':') ? addressGroup(key) : key, amount, clock.monotonic())
      )
    },
  }
}
