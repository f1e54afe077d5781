// Addresses that are refused for a while: looked up in memory, written behind to the store.

import type { Scope } from '../kernel/scope.ts'
import type { Calls } from '../store/contracts.ts'
import { addressGroup, type AddressSet } from './addresses.ts'
import type { bansStore, BanRow } from './bans.store.ts'
import type { Bans } from './contracts.ts'

export type BanCalls = Calls<typeof bansStore.operations>

/** More bans than this are not kept: the one made first goes. */
const MAX_BANS = 100_000
const WRITE_EVERY = 1000
const FORGET_EVERY = 60_000

/**
 * The bans of this server, with those that `store` kept from before; without a store they last as long as the process. Changes are written within a second and
 * when the scope closes; a store that cannot take them now is tried again. Addresses in `exempt` are never banned.
 */
export async function openBans(scope: Scope, store?: BanCalls, exempt?: AddressSet): Promise<Bans> {
  const bans = new MemoryBans(scope, exempt)
  scope.interval(FORGET_EVERY, () => bans.forgetEnded())
  if (store === undefined) return bans
  bans.load(await store.inForce({ limit: MAX_BANS }))
  let failed = false
  const flush = async (): Promise<void> => {
    const change = bans.takeChanges()
    if (change === undefined) return
    try {
      await store.change(change)
      failed = false
    } catch (error) {
      bans.giveBack(change)
      if (!failed) scope.log.warn({ err: error }, 'bans could not be written: trying again')
      failed = true
    }
  }
  scope.defer(flush)
  scope.interval(WRITE_EVERY, flush)
  return bans
}

class MemoryBans implements Bans {
  readonly #scope: Scope
  readonly #exempt: AddressSet | undefined
  readonly #bans = new Map<string, BanRow>()
  #changed = new Set<string>()

  constructor(scope: Scope, exempt: AddressSet | undefined) {
    this.#scope = scope
    this.#exempt = exempt
  }

  load(rows: readonly BanRow[]): void {
    for (const row of rows) this.#bans.set(row.address, row)
  }

  isBanned(address: string): boolean {
    if (this.#bans.size === 0) return false
    const group = addressGroup(address)
    const ban = this.#bans.get(group)
    if (ban === undefined) return false
    if (ban.until > this.#scope.clock.now()) return true
    this.#bans.delete(group)
    return false
  }

  ban(address: string, ms: number, reason: string): void {
    if (this.#exempt?.has(address) === true) return
    const group = addressGroup(address)
    const until = this.#scope.clock.now() + ms
    if ((this.#bans.get(group)?.until ?? 0) >= until) return
    this.#bans.delete(group)
    if (this.#bans.size >= MAX_BANS) this.#makeRoom()
    this.#bans.set(group, { address: group, until, reason: reason.slice(0, 200) })
    this.#changed.add(group)
    this.#scope.metrics.counter('aviso_bans_total', 'Addresses that were banned').inc()
    this.#scope.log.info({ address: group, until: new Date(until).toISOString(), reason }, 'address banned')
  }

  lift(address: string): boolean {
    const group = address.endsWith('/64') ? address : addressGroup(address)
    const inForce = this.isBanned(address) || this.#bans.has(group)
    if (this.#bans.delete(group)) this.#changed.add(group)
    return inForce
  }

  list(): readonly BanRow[] {
    const now = this.#scope.clock.now()
    return [...this.#bans.values()].filter((ban) => ban.until > now)
  }

  /** Forgets what has ended; the store does so by itself. */
  forgetEnded(): void {
    const now = this.#scope.clock.now()
    for (const [address, ban] of this.#bans) if (ban.until <= now) this.#bans.delete(address)
  }

  /** What was banned and lifted since the last call; undefined when nothing was. */
  takeChanges(): { set: BanRow[]; lift: string[] } | undefined {
    if (this.#changed.size === 0) return undefined
    const set: BanRow[] = []
    const lift: string[] = []
    for (const address of this.#changed) {
      const ban = this.#bans.get(address)
      if (ban === undefined) lift.push(address)
      else set.push(ban)
    }
    this.#changed = new Set()
    return { set, lift }
  }

  /** Puts changes that could not be written among those that wait. */
  giveBack(change: { set: readonly BanRow[]; lift: readonly string[] }): void {
    for (const { address } of change.set) this.#changed.add(address)
    for (const address of change.lift) this.#changed.add(address)
  }

  #makeRoom(): void {
    const first = this.#bans.keys().next()
    if (first.done === true) return
    this.#bans.delete(first.value)
    this.#changed.add(first.value)
  }
}
