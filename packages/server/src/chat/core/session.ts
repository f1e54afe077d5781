// One client that is logged in and has a resource.

import { type Element, escapeAttribute, type Jid, NS, type StreamError, serialise, type UserAgent } from '@aviso/xmpp'
import * as v from 'valibot'
import type { AccountChange } from '../../accounts/contracts.ts'
import type { OnlineAccount } from './directory.ts'
import type { Turns } from './turns.ts'

/** What a session writes to. */
export interface Wire {
  /** Sends an element or XML text in the namespace jabber:client. False when the stream is over and it went nowhere. */
  send(stanza: Element | string): boolean
  /** Resolves when what was sent has been handed to the network, or the stream is over. */
  drained(): Promise<void>
  /** Ends the stream, with an error if there is one. */
  close(error?: StreamError): void
}

/** A place for what a feature keeps about a session. Declared once at the top of the feature's file; it outlives a reload. */
export interface SessionSlot<T> {
  readonly name: string
  /** Carries the type only; never set. */
  readonly holds?: T
  /** Set where the value, which is JSON then, goes along when the session is suspended over a restart: what it is read by afterwards. */
  readonly lasting?: v.GenericSchema<unknown, T> | undefined
}

export const sessionSlot = <T>(name: string, lasting?: v.GenericSchema<unknown, T>): SessionSlot<T> => ({
  name,
  lasting,
})

/** Characters that `sendAll` writes before the client must have taken them. */
const WRITTEN_AT_ONCE = 65_536

export class Session {
  /** As in the log. */
  readonly id: string
  readonly jid: Jid
  /** The full JID. */
  readonly full: string
  /** The full JID as it may stand in an attribute. */
  readonly fullXml: string
  readonly account: OnlineAccount
  /** Another one once its stream is managed (XEP-0198). */
  wire: Wire
  /** The language of its stanzas that do not say (RFC 6120 §4.7.4). */
  readonly lang: string | undefined
  /** What the client says of itself (XEP-0388): for its owner only. */
  readonly userAgent: UserAgent | undefined
  /** The presence that was broadcast last, as `keptPresence` makes it; undefined as long as the session is not available. */
  presence: string | undefined
  /** Of the presence; -128 to 127. */
  priority = 0
  /** The client has asked for the roster: it gets roster pushes (RFC 6121 §2.2). */
  interested = false
  /** Whom the client has sent directed presence (RFC 6121 §4.6.3). */
  directed: Set<string> | undefined
  over = false
  /** Stanzas of the client's that were handled, modulo 2^32; from where a feature sets it to 0. */
  handled = 0
  /** The stanzas that are being handled; kept where `detach` is there. */
  pending: Promise<void> | undefined
  /** Its messages that wait to be safe. */
  turns: Turns | undefined
  /** The client has lost its connection, and may come back. */
  away = false
  /** It is of before a restart and was not resumed since: what came in between did not come to it. */
  woken = false
  /** Asked when a connection of the session's is over; `broken`: without a goodbye of either side. True: the session lives on. */
  detach: ((wire: Wire, broken: boolean) => boolean) | undefined
  /** Where a feature holds back what is written to the client (XEP-0352): it gets all stanzas, and lets them go to `wire`. False as `send`. */
  gate: ((stanza: Element | string) => boolean) | undefined
  /** Asked before the session is closed because its account has changed: for the client that has changed it. True: it may stay. */
  stays: ((change: AccountChange) => boolean) | undefined
  #slots: Map<SessionSlot<unknown>, unknown> | undefined
  /** By the slot's name: what was kept over a restart and not asked for since. */
  #lasting: Map<string, unknown> | undefined
  #preparations: (() => Promise<void>)[] | undefined

  constructor(id: string, jid: Jid, account: OnlineAccount, wire: Wire, lang?: string, userAgent?: UserAgent) {
    this.id = id
    this.jid = jid
    this.full = jid.toString()
    this.fullXml = escapeAttribute(this.full)
    this.account = account
    this.wire = wire
    this.lang = lang
    this.userAgent = userAgent
  }

  get available(): boolean {
    return this.presence !== undefined
  }

  /** Available, and willing to get messages that are for the account as a whole. */
  get listening(): boolean {
    return this.presence !== undefined && this.priority >= 0
  }

  get<T>(slot: SessionSlot<T>): T | undefined {
    if (this.#lasting !== undefined && slot.lasting !== undefined) this.#read(slot, slot.lasting)
    return this.#slots?.get(slot) as T | undefined
  }

  set<T>(slot: SessionSlot<T>, value: T | undefined): void {
    this.#lasting?.delete(slot.name)
    this.#slots ??= new Map()
    this.#slots.set(slot, value)
  }

  /** What slots hold that last, by their names: JSON. */
  get lasting(): readonly (readonly [name: string, value: unknown])[] {
    const kept = [...(this.#lasting ?? [])]
    for (const [{ name, lasting }, value] of this.#slots ?? [])
      if (lasting !== undefined && value !== undefined) kept.push([name, value])
    return kept
  }

  set lasting(kept: readonly (readonly [name: string, value: unknown])[]) {
    this.#lasting = new Map(kept)
  }

  /** What another edition wrote, and this one cannot read, counts as not set. */
  #read<T>(slot: SessionSlot<T>, schema: v.GenericSchema<unknown, T>): void {
    if (this.#lasting?.has(slot.name) !== true) return
    const { output, success } = v.safeParse(schema, this.#lasting.get(slot.name))
    this.set(slot, success ? output : undefined)
  }

  /** Writes a stanza; false when the session is over. */
  send(stanza: Element | string): boolean {
    if (this.over) return false
    this.account.traffic.sent(stanza)
    return this.gate === undefined ? this.wire.send(stanza) : this.gate(stanza)
  }

  /** A stanza was handled. */
  count(): void {
    this.handled = (this.handled + 1) >>> 0
  }

  /** Stanzas (one, unless `many` tells otherwise) are being handled. They count when those before them do: what is acknowledged is a number (XEP-0198 §4). */
  handling(work: Promise<void>, many = (): number => 1): Promise<void> {
    const before = this.pending
    const pending = (before === undefined ? work : Promise.all([before, work])).then(() => {
      for (let count = many(); count > 0; count--) this.count()
      if (this.pending === pending) this.pending = undefined
    })
    this.pending = pending
    return pending
  }

  /** What a feature must have read before the next stanza of this session is taken. Should it fail, that stanza is refused, and the one after it tries again. */
  prepare(load: () => Promise<void>): void {
    this.#preparations ??= []
    this.#preparations.push(load)
  }

  /** Runs what was to be prepared; undefined where there is nothing (left). */
  prepared(): Promise<void> | undefined {
    return this.#preparations === undefined ? undefined : this.#prepare(this.#preparations)
  }

  async #prepare(preparations: (() => Promise<void>)[]): Promise<void> {
    for (let next = preparations[0]; next !== undefined; next = preparations[0]) {
      await next()
      if (preparations[0] === next) preparations.shift()
    }
    this.#preparations = undefined
  }

  /**
   * Writes many stanzas at the pace of the reader: a pile of large ones, written at once, would overrun the session's buffer and end it. Resolves
   * when all have left for the socket; with false when the session is over, or `wanted` says that it shall have no more.
   */
  async sendAll(stanzas: Iterable<string>, wanted: () => boolean = () => true): Promise<boolean> {
    let written = 0
    for (const stanza of stanzas) {
      if (written >= WRITTEN_AT_ONCE) {
        await this.wire.drained()
        written = 0
      }
      if (this.away || !wanted() || !this.send(stanza)) return false
      written += stanza.length
    }
    await this.wire.drained()
    return !this.over
  }

  /** As `Origin`: what is answered to this session. */
  reply(stanza: Element): void {
    this.send(stanza)
  }

  get session(): Session {
    return this
  }
}

/** A presence as it is kept: what follows `<presence`, without addresses, and cut loose from the octets that it came in. */
export function keptPresence(stanza: Element): string {
  const text = serialise(stanza.with({ from: undefined, to: undefined }), NS.client)
  return Buffer.from(text.slice('<presence'.length)).toString()
}

/** A presence of that session for one receiver (its JID, escaped). */
export const presenceHead = (from: Session): string => `<presence from='${from.fullXml}' to='`
