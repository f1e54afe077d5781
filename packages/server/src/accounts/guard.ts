// Makes guessing passwords slow: delays, bans, and a narrow gate in front of accounts that are under attack. One memory for all protocols.

import { isIP } from 'node:net'
import type { Clock } from '../kernel/clock.ts'
import type { Scope } from '../kernel/scope.ts'
import { serviceKey } from '../kernel/scope.ts'
import type { Bans } from '../net/contracts.ts'
import type { AuthConfig } from './config.ts'
import { isLoopback, neighbourhood } from './neighbourhood.ts'
import { RecentMap } from './recent.ts'

type Settings = AuthConfig['failures']

/** Times kept for one key beyond what the limits need: more tell nothing, as the delay has reached its end long before. */
const KEPT_TIMES = 64
const KNOWN_PER_ACCOUNT = 16

/** What is remembered of failures. Outlives a reload of the configuration: a reload is no amnesty. */
export class FailureMemory {
  readonly byAddress: RecentMap<string, number[]>
  readonly byAccount: RecentMap<string, number[]>
  /** How often an address was banned, and until when the last ban ran. */
  readonly banned: RecentMap<string, { times: number; until: number }>
  /** Account address → where it logged in from, and when. */
  readonly known: RecentMap<string, Map<string, number>>
  readonly waiting = new Map<string, number>()

  constructor(most: number) {
    this.byAddress = new RecentMap(most)
    this.byAccount = new RecentMap(most)
    this.banned = new RecentMap(most)
    this.known = new RecentMap(most)
  }

  limit(most: number): void {
    for (const map of [this.byAddress, this.byAccount, this.banned, this.known]) map.limit(most)
  }
}

export const failureMemory = serviceKey<FailureMemory>('accounts.failures')

export class LoginGuard {
  readonly #settings: Settings
  readonly #memory: FailureMemory
  readonly #clock: Clock
  /** Answers that are held back. */
  readonly #held = new Set<() => void>()
  #closed = false
  readonly #bans: Bans | undefined

  constructor(scope: Scope, settings: Settings, memory: FailureMemory, bans: Bans | undefined) {
    this.#clock = scope.clock
    this.#settings = settings
    this.#memory = memory
    this.#bans = bans
    // Nobody is left hanging.
    scope.defer(() => {
      this.#closed = true
      for (const release of this.#held) release()
    })
  }

  /** True when nobody may log in from there now. */
  isBanned(address: string): boolean {
    if (!this.#settings['ban-loopback'] && isLoopback(address)) return false
    if (this.#bans !== undefined) return this.#bans.isBanned(address)
    const banned = this.#memory.banned.peek(neighbourhood(address))
    return banned !== undefined && banned.until > this.#clock.now()
  }

  /**
   * To be awaited before a password is checked. While an account collects failures, from however many addresses, those who are new to it wait, and only a few may
   * wait at once, so that a thousand machines guess no faster than one. Whoever logged in from there before passes: an attacker cannot lock the owner out.
   * False: too many wait already, "try again later".
   */
  async approach(account: string, address: string): Promise<boolean> {
    const failures = this.#recent(this.#memory.byAccount, account)
    if (failures < this.#settings.account || this.#isKnown(account, address)) return true
    const waiting = this.#memory.waiting.get(account) ?? 0
    if (waiting >= this.#settings['account-at-once']) return false
    this.#memory.waiting.set(account, waiting + 1)
    try {
      await this.#wait(this.#delay(failures - this.#settings.account + 1))
    } finally {
      const left = (this.#memory.waiting.get(account) ?? 1) - 1
      if (left === 0) this.#memory.waiting.delete(account)
      else this.#memory.waiting.set(account, left)
    }
    return true
  }

  /** Counts a failure at once, bans where it is time, and resolves when it may be answered. `account` is undefined where no name was given. */
  async failed(account: string | undefined, address: string): Promise<void> {
    const failures = this.#count(this.#memory.byAddress, neighbourhood(address))
    if (account !== undefined) this.#count(this.#memory.byAccount, account)
    if (failures >= this.#settings.ban) this.#ban(address)
    await this.#wait(this.#delay(failures))
  }

  succeeded(account: string, address: string): void {
    let known = this.#memory.known.get(account)
    if (known === undefined) this.#memory.known.set(account, (known = new Map()))
    const place = neighbourhood(address)
    known.delete(place)
    known.set(place, this.#clock.now())
    const [oldest] = known.keys()
    if (known.size > KNOWN_PER_ACCOUNT && oldest !== undefined) known.delete(oldest)
  }

  /** Forgets where the account was used from: its password was changed, perhaps because somebody else knew it. */
  forget(account: string): void {
    this.#memory.known.delete(account)
  }

  #isKnown(account: string, address: string): boolean {
    const at = this.#memory.known.get(account)?.get(neighbourhood(address))
    return at !== undefined && this.#clock.now() - at < this.#settings.known
  }

  #ban(address: string): void {
    // What has no IP address came through a local socket: a ban would meet everybody who does.
    if (isIP(address) === 0 || (!this.#settings['ban-loopback'] && isLoopback(address))) return
    const place = neighbourhood(address)
    const now = this.#clock.now()
    const before = this.#memory.banned.get(place)
    if (before !== undefined && before.until > now) return
    // Who kept quiet for as long as the longest ban begins anew.
    const times = before === undefined || now - before.until > this.#settings['longest-ban'] ? 0 : before.times
    const ms = Math.min(this.#settings['longest-ban'], this.#settings['first-ban'] * 2 ** Math.min(times, 30))
    this.#memory.banned.set(place, { times: times + 1, until: now + ms })
    this.#memory.byAddress.delete(place)
    this.#bans?.ban(address, ms, `${this.#settings.ban} failed logins`)
  }

  #count(counts: RecentMap<string, number[]>, key: string): number {
    let times = counts.get(key)
    if (times === undefined) counts.set(key, (times = []))
    times.push(this.#clock.now())
    if (times.length > Math.max(KEPT_TIMES, this.#settings.ban, this.#settings.account)) times.shift()
    this.#prune(times)
    return times.length
  }

  #recent(counts: RecentMap<string, number[]>, key: string): number {
    const times = counts.peek(key)
    if (times === undefined) return 0
    this.#prune(times)
    if (times.length === 0) counts.delete(key)
    return times.length
  }

  #prune(times: number[]): void {
    const from = this.#clock.now() - this.#settings.window
    let old = 0
    while (old < times.length && (times[old] ?? 0) <= from) old++
    if (old > 0) times.splice(0, old)
  }

  #delay(failures: number): number {
    return Math.min(this.#settings['longest-delay'], this.#settings['first-delay'] * 2 ** Math.min(30, failures - 1))
  }

  /** Resolves after `ms`, or at once when the scope closes. */
  #wait(ms: number): Promise<void> {
    if (ms <= 0 || this.#closed) return Promise.resolve()
    return new Promise((resolve) => {
      const release = (): void => {
        timer.cancel()
        this.#held.delete(release)
        resolve()
      }
      const timer = this.#clock.timeout(ms, release)
      this.#held.add(release)
    })
  }
}
