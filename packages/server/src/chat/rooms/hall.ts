// All rooms of one service: which of them are in memory, how they come and go, and what they share. It outlives a reload of the config.

import { createHash } from 'node:crypto'
import { type Element, Jid, StanzaError } from '@aviso/xmpp'
import { randomWord, type Random } from '../../kernel/random.ts'
import type { Clock } from '../../kernel/clock.ts'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { Limits } from '../../net/contracts.ts'
import { type Calls, type Store, StoreError } from '../../store/contracts.ts'
import type { Host, Origin } from '../core/contracts.ts'
import type { ServiceDomain } from '../core/service.ts'
import type { Affiliated, Tombstone } from './contracts.ts'
import { delayed } from './history.ts'
import { leave } from './presence.ts'
import { occupantsOf, Returning } from './returning.ts'
import { stamped } from '../archive/stanza-ids.ts'
import { readText } from './room-archive.ts'
import { Room, toRow } from './room.ts'
import { marksOf, type RoomConfig, usualConfig } from './room-config.ts'
import { roomsStore } from './rooms.store.ts'
import type { Settings } from './settings.ts'
import { subjectIn } from './subject.ts'

/** What belongs to one generation of the config. */
export interface Generation {
  readonly host: Host
  readonly service: ServiceDomain
  readonly settings: Settings
  readonly limits: Limits | undefined
}

/** The name of the database of a domain's rooms. */
export function databaseOf(domain: string): string {
  const name = `rooms-${domain}`
  return name.length <= 64 ? name : `rooms-${createHash('sha256').update(domain).digest('hex').slice(0, 40)}`
}

export interface NewRoom {
  readonly name: string
  readonly config: RoomConfig
  readonly affiliations: readonly Affiliated[]
  readonly locked: boolean
}

const DAY_MS = 86_400_000
/** So long the making of an account may take. */
const CEDED_MS = 60_000

export class Hall {
  readonly domain: string
  readonly store: Calls<(typeof roomsStore)['operations']>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly rooms = new Map<string, Room>()
  readonly returning: Returning
  readonly #scope: Scope
  readonly #loading = new Map<string, Promise<Room | Tombstone | undefined>>()
  /** Rooms in memory that nobody is in, the one that was used last at the end. */
  readonly #idle = new Set<Room>()
  /** Rooms that are being made, and by how many. */
  readonly #making = new Map<string, number>()
  /** Names that accounts are about to have, where rooms are beside accounts. */
  readonly #ceded = new Set<string>()
  /** Rooms that are being forgotten. */
  readonly #going = new Map<string, Promise<void>>()
  readonly #generations: Generation[] = []
  #began = false

  constructor(domain: string, store: Store, scope: Scope) {
    this.domain = domain
    this.store = store.service(roomsStore, databaseOf(domain))
    this.clock = scope.clock
    this.random = scope.random
    this.log = scope.log
    this.#scope = scope
    this.returning = new Returning(this, scope)
  }

  /** A generation that is up; the newest one is used. Returns the way to leave. */
  enter(generation: Generation): () => void {
    this.#generations.push(generation)
    return () => void this.#generations.splice(this.#generations.indexOf(generation), 1)
  }

  /** The generation that clients use, else the newest. */
  get #now(): Generation {
    const now = this.#generations.find(({ host }) => host.current) ?? this.#generations.at(-1)
    if (now === undefined) throw StanzaError.of('service-unavailable')
    return now
  }

  get settings(): Settings {
    return this.#now.settings
  }

  // What rooms need of the house

  send(stanza: Element, origin: Origin): void {
    if (this.#generations.length > 0) this.#now.service.send(stanza, origin)
  }

  /** An address of the service as a sender. */
  origin(jid: Jid): Origin {
    return { jid, reply: (stanza) => this.#now.service.origin(jid).reply(stanza) }
  }

  /** @throws StanzaError policy-violation where somebody does too much */
  mayTake(limit: string, key: string): void {
    if (this.#now.limits?.take(limit, key) === false)
      throw new StanzaError('wait', 'policy-violation', 'this is too much at once: try again later')
  }

  isLocal(bare: string): boolean {
    return this.#now.host.accounts.isLocal(bare.slice(bare.indexOf('@') + 1))
  }

  /** True for administrators of the server, where they own each room. */
  rulesRooms(bare: string): boolean {
    if (!this.settings['admins-are-owners']) return false
    return this.#now.host.sessions(bare)[0]?.account.account.role === 'admin'
  }

  /** Wakes somebody who is not in a room. */
  mention(bare: string, stanza: Element): void {
    const { host } = this.#now
    host.accounts
      .byAddress(bare)
      .then((account) => {
        if (account === undefined) return
        const from = Jid.parse(stanza.get('from') ?? this.domain)
        host.tellMentioned({
          stanza: stanza.with({ to: bare }),
          origin: this.origin(from),
          to: Jid.parse(bare),
          account,
        })
      })
      .catch((error: unknown) => this.log.warn({ err: error, account: bare }, 'a member of a room was not told'))
  }

  counted(what: 'message' | 'join'): void {
    this.#scope.metrics.counter('aviso_chat_room_events', 'What happens in rooms', ['event']).inc({ event: what })
  }

  occupied(by: number): void {
    const gauge = this.#scope.metrics.gauge('aviso_chat_room_occupants', 'Clients in rooms', ['domain'])
    gauge.inc({ domain: this.domain }, by)
  }

  /** What an archive keeps of a room. */
  retention({ config }: Room): { readonly oldest: number; readonly most: number } {
    const keep = this.settings['archive-keep']
    const own = config.archiveDays === 0 ? keep : Math.min(keep, config.archiveDays * DAY_MS)
    return { oldest: this.clock.now() - own, most: this.settings['archive-max-messages'] }
  }

  // Which rooms there are

  /** Works with a room, which stays in memory meanwhile. @throws StanzaError item-not-found, or gone */
  using<T>(name: string, act: (room: Room) => T | Promise<T>): T | Promise<T> {
    const room = this.rooms.get(name)
    if (room !== undefined) return this.#with(room, act)
    return this.load(name).then((found) => {
      const loaded = mustBe(found)
      // Others have waited for it too: one of them may have let go of it already.
      return this.rooms.get(name) === loaded ? this.#with(loaded, act) : this.using(name, act)
    })
  }

  /** True where there is such a room, or one was there lately; nobody is to work with it. */
  async knows(name: string): Promise<boolean> {
    const found = await this.load(name)
    if (found instanceof Room) this.settle(found)
    return found !== undefined
  }

  #with<T>(room: Room, act: (room: Room) => T | Promise<T>): T | Promise<T> {
    room.busy++
    this.#idle.delete(room)
    const done = (): void => {
      room.busy--
      this.settle(room)
    }
    let result: T | Promise<T>
    try {
      result = act(room)
    } catch (error) {
      done()
      throw error
    }
    if (result instanceof Promise) return result.finally(done)
    done()
    return result
  }

  /** The room, from memory or not; what is known of one that was; undefined where there was none. */
  load(name: string): Promise<Room | Tombstone | undefined> {
    const room = this.rooms.get(name)
    if (room !== undefined) return Promise.resolve(room)
    const loading = this.#loading.get(name)
    if (loading !== undefined) return loading
    const begun = this.#load(name).finally(() => this.#loading.delete(name))
    this.#loading.set(name, begun)
    return begun
  }

  async #load(name: string): Promise<Room | Tombstone | undefined> {
    await this.#going.get(name)
    const found = await this.store.load({ name })
    if (found.room === undefined) {
      const { tombstone } = found
      return tombstone !== undefined && tombstone.at > this.clock.now() - this.settings.tombstones
        ? tombstone
        : undefined
    }
    const room = new Room(this, found.room, found.affiliations)
    await this.#readHistory(room)
    this.rooms.set(name, room)
    return room
  }

  async #readHistory(room: Room): Promise<void> {
    const { historyLength: max, archive } = room.config
    if (max === 0 || !archive) return
    const start = this.retention(room).oldest
    const { messages } = await this.store.query({ room: room.id, filter: { start }, page: { max, backwards: true } })
    for (const { id, at, xml } of messages) {
      const stanza = readText(xml)
      if (subjectIn(stanza) !== undefined || stanza.child('retracted', 'urn:xmpp:message-retract:1') !== undefined)
        continue
      room.history.push({ id, at, stanza: delayed(room, stamped(stanza, room.bare, id), at).prepared() })
    }
  }

  /**
   * Makes a room and works with it before anybody else; false where somebody else has just made it, and nothing was done.
   * @throws StanzaError
   */
  async create(
    { name, config, affiliations, locked }: NewRoom,
    act: (room: Room) => void | Promise<void>,
  ): Promise<boolean> {
    if (this.#ceded.has(name)) throw StanzaError.of('conflict', 'an account is to have this name')
    // From here on no account gets the name, and whoever finds the room does not let go of it: it stays for the one who makes it.
    this.#making.set(name, (this.#making.get(name) ?? 0) + 1)
    let room: Room | undefined
    try {
      await this.#mustBeFree(name)
      await this.store.create({
        name,
        ...marksOf(config),
        salt: randomWord(this.random, 32),
        locked,
        affiliations: affiliations.map(toRow),
        most: this.settings['max-rooms'],
      })
      room = mustBe(await this.load(name))
      this.log.info({ room: room.bare, by: affiliations[0]?.jid }, 'a room was made')
      if (locked) this.#lockTimer(room)
      await act(room)
      return true
    } catch (error) {
      if (error instanceof StoreError && error.code === 'exists') return false
      if (error instanceof StoreError && error.code === 'full')
        throw StanzaError.of('resource-constraint', 'there are too many rooms')
      throw error
    } finally {
      const others = (this.#making.get(name) ?? 1) - 1
      if (others > 0) this.#making.set(name, others)
      else this.#making.delete(name)
      if (room !== undefined) this.settle(room)
    }
  }

  async #mustBeFree(name: string): Promise<void> {
    await this.#going.get(name)
    if (!this.isLocal(this.domain)) return
    const account = await this.#now.host.accounts.byAddress(`${name}@${this.domain}`)
    if (account !== undefined) throw StanzaError.of('conflict', 'an account has this name')
  }

  /** False where a room has the name; else no room gets it until `released`. */
  async cede(name: string): Promise<boolean> {
    if (this.#making.has(name)) return false
    this.#ceded.add(name)
    this.#scope.timeout(CEDED_MS, () => this.released(name))
    const found = await this.load(name)
    if (!(found instanceof Room)) return true
    this.settle(found)
    this.released(name)
    return false
  }

  /** The account is there, or was not made: rooms find out by themselves. */
  released(name: string): void {
    this.#ceded.delete(name)
  }

  #lockTimer(room: Room): void {
    this.#scope.timeout(this.settings['lock-timeout'], async () => {
      if (!room.locked || room.gone) return
      this.log.info({ room: room.bare }, 'a room that nobody has configured goes')
      for (const session of room.sessions.values()) leave(room, session, { reason: 'nobody has configured the room' })
      this.settle(room)
    })
  }

  usual(): RoomConfig {
    return usualConfig(this.settings)
  }

  /** Somebody has entered. */
  entered(room: Room): void {
    this.#idle.delete(room)
    this.counted('join')
  }

  /** Lets go of a room that nobody is in or works with: one that does not stay is forgotten. */
  settle(room: Room): void {
    if (room.gone || room.sessions.size > 0 || room.busy > 0 || this.#making.has(room.name)) return
    if (!room.config.persistent || room.locked) {
      room.gone = true
      this.rooms.delete(room.name)
      const going = this.store
        .destroy({ id: room.id, name: room.name })
        .then(() => this.log.info({ room: room.bare }, 'an empty room is gone'))
        .catch((error: unknown) =>
          this.log.warn({ err: error, room: room.bare }, 'an empty room could not be forgotten'),
        )
        .finally(() => this.#going.delete(room.name))
      this.#going.set(room.name, going)
      return
    }
    this.#idle.delete(room)
    this.#idle.add(room)
    if (this.#idle.size <= this.settings['rooms-in-memory']) return
    const [oldest] = this.#idle
    if (oldest === undefined) return
    this.#idle.delete(oldest)
    this.rooms.delete(oldest.name)
  }

  /** What was to be written of a room that is gone meanwhile is told as that. */
  async still<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      if (error instanceof StoreError && error.code === 'not-found')
        throw StanzaError.of('item-not-found', error.message, { cause: error })
      throw error
    }
  }

  /** Forgets a room; resolves when that is safe. */
  async destroy(room: Room, tombstone: Tombstone | undefined): Promise<void> {
    await this.store.destroy({ id: room.id, name: room.name, tombstone })
    room.gone = true
    this.rooms.delete(room.name)
    this.#idle.delete(room)
    this.log.info({ room: room.bare, venue: tombstone?.venue, reason: tombstone?.reason }, 'a room was destroyed')
  }

  // The life of the server

  /** The first stanza of this life. What was kept of the one before is not true any longer. */
  begin(): void {
    if (this.#began) return
    this.#began = true
    const occupied = [...this.rooms.values()].filter((room) => room.sessions.size > 0).map(({ name }) => name)
    const failed = (error: unknown): void =>
      this.log.warn({ err: error, domain: this.domain }, 'rooms were not tidied up')
    this.store.keepOccupants({ occupants: [] }).catch(failed)
    this.store.sweep({ before: this.clock.now() - this.settings.tombstones, occupied }).catch(failed)
  }

  /** Keeps who is in rooms, in one write. */
  async close(): Promise<void> {
    const occupants = occupantsOf(this.rooms.values())
    await Promise.all(this.#going.values())
    if (occupants.length > 0 || this.#began) await this.store.keepOccupants({ occupants })
    this.occupied(-occupants.length)
  }
}

/** @throws StanzaError item-not-found, gone */
export function mustBe(found: Room | Tombstone | undefined): Room {
  if (found instanceof Room) return found
  if (found === undefined) throw StanzaError.of('item-not-found', 'there is no such room')
  throw StanzaError.of('gone', found.reason === '' ? 'this room is no more' : found.reason, {
    content: found.venue === '' ? '' : `xmpp:${found.venue}?join`,
  })
}
