// XEP-0175: accounts without a name of their own, for as long as somebody is there.

import type { Timer } from '../kernel/clock.ts'
import type { Scope } from '../kernel/scope.ts'
import { serviceKey } from '../kernel/scope.ts'
import type { Calls, Store } from '../store/contracts.ts'
import { LoginDeferred } from './attempt.ts'
import type { Account, Guests, GuestTerms } from './contracts.ts'
import { neighbourhood } from './neighbourhood.ts'
import { GUEST } from './roles.ts'
import type { AccountRooms } from './rooms.ts'
import type { AccountStore } from './store.ts'

/** Who has logged in has so long to go on with it; connections are given up long before. */
const ARRIVAL_MS = 600_000
/** What was on its way to a guest, or to his archive, has so long to get there, and is erased with the rest. */
const LINGER_MS = 1000

interface Guest {
  readonly account: Account
  readonly place: string
  /** Runs until he has a session. */
  arrival: Timer | undefined
}

/** What guests are erased in. */
export interface GuestHouse {
  readonly scope: Scope
  readonly store: Store
  readonly rows: Calls<AccountStore['operations']>
  readonly rooms: AccountRooms
}

/** The guests of all generations. */
export class GuestList implements Guests {
  readonly #scope: Scope
  readonly #guests = new Map<string, Guest>()
  readonly #ids = new Map<string, string>()
  /** How many there are, in a domain or from a place; those that are being let in count. */
  readonly #counts = new Map<string, number>()
  /** Those that have gone, whose data lie here still. */
  readonly #gone = new Map<Account, Timer>()
  readonly #erasing = new Set<Promise<void>>()
  /** Of the newest generation. */
  #house!: GuestHouse

  constructor(scope: Scope) {
    this.#scope = scope
    scope.defer(() => this.#close())
    scope.metrics.readings('gauge', 'aviso_guests', 'People who are here without an account', [], () => [
      [{}, this.#guests.size],
    ])
  }

  /** From now on guests are erased in the rooms of that house. */
  adopt(house: GuestHouse): void {
    this.#house = house
  }

  byId(id: string): Account | undefined {
    return this.#guests.get(id)?.account
  }

  byAddress(address: string): Account | undefined {
    return this.byId(this.#ids.get(address) ?? '')
  }

  /** Lets somebody in. Rejects with `LoginDeferred` where there are too many, and as the store does. */
  async admit(domain: string, remoteAddress: string, { most, perAddress }: GuestTerms): Promise<Account> {
    const place = `from ${neighbourhood(remoteAddress)}`
    if (this.#count(domain) >= most) throw new LoginDeferred('there are as many guests as there may be')
    if (this.#count(place) >= perAddress) throw new LoginDeferred('there are too many guests from that address')
    this.#add(domain, 1)
    this.#add(place, 1)
    try {
      const account = this.#make(domain)
      await this.#house.rows.admitGuest({ id: account.id, address: account.address })
      const arrival = this.#scope.timeout(ARRIVAL_MS, () => this.leave(account))
      this.#guests.set(account.id, { account, place, arrival })
      this.#ids.set(account.address, account.id)
      return account
    } catch (error) {
      this.#add(domain, -1)
      this.#add(place, -1)
      throw error
    }
  }

  settle({ id }: Account): void {
    const guest = this.#guests.get(id)
    guest?.arrival?.cancel()
    if (guest !== undefined) guest.arrival = undefined
  }

  leave({ id }: Account): void {
    const guest = this.#guests.get(id)
    if (guest === undefined) return
    const { account, place, arrival } = guest
    arrival?.cancel()
    this.#guests.delete(id)
    this.#ids.delete(account.address)
    this.#add(account.domain, -1)
    this.#add(place, -1)
    if (this.#scope.signal.aborted) return this.#begin(account)
    this.#gone.set(
      account,
      this.#scope.timeout(LINGER_MS, () => this.#begin(account)),
    )
  }

  /** Erases those that a crash left behind; to be called once at start, when all rooms have registered. Tells how many there were. */
  async sweep(): Promise<number> {
    const left = (await this.#house.rows.guests()).filter(({ id }) => !this.#guests.has(id))
    for (const { id, address } of left) await this.#erase(guestOf(id, address))
    return left.length
  }

  /** RFC 4122 §4.4, as XEP-0175 §2 recommends. */
  #make(domain: string): Account {
    const octets = this.#house.scope.random.bytes(16)
    octets[6] = ((octets[6] ?? 0) & 0x0f) | 0x40
    octets[8] = ((octets[8] ?? 0) & 0x3f) | 0x80
    const id = octets.toString('hex')
    const local = id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    return guestOf(id, `${local}@${domain}`)
  }

  #begin(account: Account): void {
    this.#gone.delete(account)
    const work = this.#erase(account)
    this.#erasing.add(work)
    void work.then(() => this.#erasing.delete(work))
  }

  /** Never rejects: what could not be erased is tried again at the next start. */
  async #erase(account: Account): Promise<void> {
    const { rooms, store, rows, scope } = this.#house
    try {
      await rooms.erase(account)
      await store.eraseAccount(account.id)
      await rows.forgetGuest({ id: account.id, address: account.address })
    } catch (error) {
      scope.log.error({ err: error, account: account.id }, 'what was kept of a guest could not be erased')
    }
  }

  async #close(): Promise<void> {
    for (const { account } of this.#guests.values()) this.leave(account)
    for (const [account, timer] of this.#gone) {
      timer.cancel()
      this.#begin(account)
    }
    await Promise.all(this.#erasing)
  }

  #count(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  #add(key: string, by: number): void {
    const count = this.#count(key) + by
    if (count === 0) this.#counts.delete(key)
    else this.#counts.set(key, count)
  }
}

export const guestList = serviceKey<GuestList>('accounts.guests')

function guestOf(id: string, address: string): Account {
  const at = address.lastIndexOf('@')
  return { id, address, local: address.slice(0, at), domain: address.slice(at + 1), role: GUEST, disabled: false }
}
