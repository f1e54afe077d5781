// Gates: how much may pass at once, in a time, and in octets, by keys such as addresses. Who comes too early waits a little, then is sent away.

import * as v from 'valibot'
import type { Clock } from '../kernel/clock.ts'
import { duration, size } from '../kernel/units.ts'

const positive = v.pipe(v.number(), v.minValue(0.001, 'expected a number above 0'))
const whole = v.pipe(v.number(), v.integer(), v.minValue(1))

const gate = v.strictObject({
  rate: v.optional(v.pipe(positive, v.description('how many may begin in the time of `per`'))),
  per: v.pipe(duration('1s'), v.minValue(1), v.description('the time that `rate` counts for')),
  burst: v.optional(
    v.pipe(whole, v.description('how many may begin at once after a quiet time; as many as `rate` if not set')),
  ),
  concurrency: v.optional(v.pipe(whole, v.description('how many may be under way at once'))),
  bandwidth: v.optional(
    v.pipe(
      size(),
      v.minValue(1),
      v.description('octets a second; each is counted when it is over, and the next one waits until they are paid off'),
    ),
  ),
})
export type GateConfig = v.InferOutput<typeof gate>

const described = (what: string) => v.optional(v.pipe(gate, v.description(what)))

/** The setting of gates: `scopes` are what they can count by, with a description each. */
export function gatesConfig<Scope extends string>(scopes: Readonly<Record<Scope, string>>) {
  const entries = Object.fromEntries(Object.entries<string>(scopes).map(([name, what]) => [name, described(what)]))
  return v.strictObject({
    ...(entries as Record<Scope, ReturnType<typeof described>>),
    wait: v.pipe(duration('5s'), v.description('how long somebody waits for a place before "try again later"')),
  })
}

/** No place became free in time: refuse with the protocol's own "try again later". */
export class TooBusy extends Error {
  /** The scope whose limit was met. */
  readonly scope: string

  constructor(scope: string) {
    super(`the limit by ${scope} is reached`)
    this.name = 'TooBusy'
    this.scope = scope
  }
}

/** A place inside. */
export interface Pass {
  /** Counts octets. */
  spend(octets: number): void
  /** Gives the place back. Safe to call twice. */
  release(): void
}

interface Bucket {
  readonly gate: Gate
  readonly key: string
  tokens: number
  octets: number
  /** When tokens and octets were counted. */
  at: number
  inside: number
  waiting: number
  /** Called when a place becomes free. */
  readonly wake: Set<() => void>
}

/** Of each scope, keys that nobody is inside of: more than this are forgotten, the one that was quiet longest first. */
const MAX_IDLE = 100_000
/** Of each key, how many may wait. */
const MAX_WAITING = 100

/** The limit of one scope. Buckets in use are never forgotten, as places would be lost; there are no more of them than there are guests. */
class Gate {
  readonly scope: string
  readonly #config: GateConfig
  readonly #maxIdle: number
  readonly #used = new Map<string, Bucket>()
  readonly #idle = new Map<string, Bucket>()

  constructor(scope: string, config: GateConfig, maxIdle: number) {
    this.scope = scope
    this.#config = config
    this.#maxIdle = maxIdle
  }

  get size(): number {
    return this.#used.size + this.#idle.size
  }

  /** The bucket of a key, which must be given back by `settle`. */
  use(key: string, now: number): Bucket {
    let bucket = this.#used.get(key)
    if (bucket !== undefined) return bucket
    bucket = this.#idle.get(key)
    if (bucket === undefined)
      bucket = {
        gate: this,
        key,
        tokens: this.#burst,
        octets: this.#config.bandwidth ?? 0,
        at: now,
        inside: 0,
        waiting: 0,
        wake: new Set(),
      }
    this.#idle.delete(key)
    this.#used.set(key, bucket)
    return bucket
  }

  /** Lets a bucket that nobody uses be forgotten: at once if it is as new, else when there are too many. */
  settle(bucket: Bucket, now: number): void {
    if (bucket.inside > 0 || bucket.waiting > 0 || this.#used.get(bucket.key) !== bucket) return
    this.#used.delete(bucket.key)
    this.#fill(bucket, now)
    if (bucket.tokens >= this.#burst && bucket.octets >= (this.#config.bandwidth ?? 0)) return
    if (this.#idle.size >= this.#maxIdle) this.#makeRoom()
    this.#idle.set(bucket.key, bucket)
  }

  /** Milliseconds until the next one may enter; 0: now. Infinity: when somebody leaves. */
  delay(bucket: Bucket, now: number): number {
    this.#fill(bucket, now)
    const { rate, per, concurrency, bandwidth } = this.#config
    if (concurrency !== undefined && bucket.inside >= concurrency) return Infinity
    const forToken = rate === undefined || bucket.tokens >= 1 ? 0 : ((1 - bucket.tokens) * per) / rate
    const forOctets = bandwidth === undefined || bucket.octets > 0 ? 0 : ((1 - bucket.octets) * 1000) / bandwidth
    return Math.ceil(Math.max(forToken, forOctets))
  }

  enter(bucket: Bucket): void {
    bucket.inside++
    if (this.#config.rate !== undefined) bucket.tokens -= 1
  }

  spend(bucket: Bucket, octets: number): void {
    if (this.#config.bandwidth !== undefined) bucket.octets -= octets
  }

  /** Forgets idle buckets that are as new. */
  reap(now: number): void {
    for (const [key, bucket] of this.#idle) {
      this.#fill(bucket, now)
      if (bucket.tokens >= this.#burst && bucket.octets >= (this.#config.bandwidth ?? 0)) this.#idle.delete(key)
    }
  }

  get #burst(): number {
    // A rate below one would never let anybody in.
    return Math.max(1, this.#config.burst ?? this.#config.rate ?? 1)
  }

  #fill(bucket: Bucket, now: number): void {
    const passed = Math.max(0, now - bucket.at)
    bucket.at = now
    const { rate = 0, per, bandwidth = 0 } = this.#config
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (passed * rate) / per)
    bucket.octets = Math.min(bandwidth, bucket.octets + (passed * bandwidth) / 1000)
  }

  #makeRoom(): void {
    const oldest = this.#idle.keys().next()
    if (oldest.done !== true) this.#idle.delete(oldest.value)
  }
}

/** The gates of one room. */
export class Gates {
  readonly #clock: Clock
  readonly #wait: number
  readonly #gates: ReadonlyMap<string, Gate>

  /** `config` by scope; `wait` in milliseconds. */
  constructor(clock: Clock, config: ReadonlyMap<string, GateConfig>, wait: number, maxIdle = MAX_IDLE) {
    this.#clock = clock
    this.#wait = wait
    this.#gates = new Map([...config].map(([scope, one]) => [scope, new Gate(scope, one, maxIdle)]))
  }

  /** Keys that are remembered now, of all scopes. */
  get size(): number {
    return [...this.#gates.values()].reduce((sum, one) => sum + one.size, 0)
  }

  /** Forgets what is remembered without need. */
  reap(): void {
    for (const one of this.#gates.values()) one.reap(this.#clock.monotonic())
  }

  /**
   * Enters with a key for each scope that applies; scopes without a limit cost nothing. All places are taken at once, so that nobody holds one while waiting for
   * another. Rejects with TooBusy when there was none in time; `signal` ends the waiting (rejects with its reason).
   */
  async enter(keys: Iterable<readonly [scope: string, key: string]>, signal?: AbortSignal): Promise<Pass> {
    const begun = this.#clock.monotonic()
    const deadline = begun + this.#wait
    const buckets: Bucket[] = []
    for (const [scope, key] of keys) {
      const one = this.#gates.get(scope)
      if (one !== undefined) buckets.push(one.use(key, begun))
    }
    if (buckets.length === 0) return FREE
    try {
      for (;;) {
        const now = this.#clock.monotonic()
        let longest = 0
        let blocked: Bucket | undefined
        for (const bucket of buckets) {
          const delay = bucket.gate.delay(bucket, now)
          if (delay <= longest) continue
          longest = delay
          blocked = bucket
        }
        if (blocked === undefined) {
          for (const bucket of buckets) bucket.gate.enter(bucket)
          return this.#pass(buckets)
        }
        const left = deadline - now
        if (left <= 0 || (longest !== Infinity && longest > left) || blocked.waiting >= MAX_WAITING)
          throw new TooBusy(blocked.gate.scope)
        await this.#turn(blocked, Math.min(longest, left), signal)
      }
    } catch (error) {
      for (const bucket of buckets) bucket.gate.settle(bucket, this.#clock.monotonic())
      throw error
    }
  }

  /** Resolves after `ms`, or when somebody leaves. */
  async #turn(bucket: Bucket, ms: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    bucket.waiting++
    try {
      await new Promise<void>((resolve, reject) => {
        const done = (): void => {
          timer.cancel()
          bucket.wake.delete(done)
          signal?.removeEventListener('abort', aborted)
          resolve()
        }
        const aborted = (): void => {
          done()
          reject(signal?.reason as Error)
        }
        const timer = this.#clock.timeout(ms, done)
        bucket.wake.add(done)
        signal?.addEventListener('abort', aborted, { once: true })
      })
      signal?.throwIfAborted()
    } finally {
      bucket.waiting--
    }
  }

  #pass(buckets: readonly Bucket[]): Pass {
    let left = false
    return {
      spend(octets) {
        for (const bucket of buckets) bucket.gate.spend(bucket, octets)
      },
      release: () => {
        if (left) return
        left = true
        const now = this.#clock.monotonic()
        for (const bucket of buckets) {
          bucket.inside--
          // The one who waits longest.
          for (const wake of bucket.wake) {
            wake()
            break
          }
          bucket.gate.settle(bucket, now)
        }
      },
    }
  }
}

const FREE: Pass = { spend: () => {}, release: () => {} }
