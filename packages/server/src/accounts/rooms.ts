// The rooms that keep something for every account, in the order in which they registered.

import { serviceKey } from '../kernel/scope.ts'
import type { Account, AccountRoom } from './contracts.ts'

export class AccountRooms {
  readonly #rooms: AccountRoom[] = []

  /** Adds a room; returns the way to take it out. During a reload there may be two of one name: the newer is asked. */
  register(room: AccountRoom): () => void {
    this.#rooms.push(room)
    return () => {
      const index = this.#rooms.indexOf(room)
      if (index >= 0) this.#rooms.splice(index, 1)
    }
  }

  /** Makes the account in every room. Rejects with an error that names the room that failed. */
  async create(account: Account): Promise<void> {
    for (const room of this.#current()) {
      try {
        await room.create(account)
      } catch (error) {
        throw new Error(`${room.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
    }
  }

  /** Asks every room whether the account may be made. Rejects as the first that says no. */
  async admit(wish: Parameters<NonNullable<AccountRoom['admit']>>[0]): Promise<void> {
    for (const room of this.#current()) await room.admit?.(wish)
  }

  /** Erases the account in every room, the last one first. Every room is asked; the first failure rejects. */
  async erase(account: Account): Promise<void> {
    const failures: Error[] = []
    for (const room of this.#current().reverse()) {
      try {
        await room.erase?.(account)
      } catch (error) {
        failures.push(
          new Error(`${room.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error }),
        )
      }
    }
    if (failures[0] !== undefined) throw failures[0]
  }

  #current(): AccountRoom[] {
    return [...new Map(this.#rooms.map((room) => [room.name, room])).values()]
  }
}

export const accountRooms = serviceKey<AccountRooms>('accounts.rooms')
