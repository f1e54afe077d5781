// What two accounts hold, as plain maps: the model that the store is compared with.

import assert from 'node:assert/strict'
import { ALL_RIGHTS } from '@aviso/imap'
import type { QuotaChange } from '../../../src/mail/mailboxes/quota.ts'

export const OWNERS = ['anna', 'ben'] as const
export type Owner = (typeof OWNERS)[number]

export interface Row {
  readonly flags: Set<string>
  /** Octets. */
  readonly size: number
  readonly body: string
}

/** A state that a client may have seen. Rows are flags and modseq as text. */
interface Seen {
  readonly highest: number
  readonly rows: ReadonlyMap<number, string>
}

/** States that are kept of each mailbox, the newest ones and the first. */
const KEPT = 6

export class Box {
  readonly owner: Owner
  readonly id: string
  readonly uidValidity: number
  name: string
  /** What the other one may do here. */
  given = ''
  next = 1
  readonly rows = new Map<number, Row>()
  readonly modseqs = new Map<number, number>()
  readonly seen: Seen[] = []

  constructor(owner: Owner, name: string, id: string, uidValidity: number) {
    this.owner = owner
    this.name = name
    this.id = id
    this.uidValidity = uidValidity
  }

  /** Adds a message; answers its UID. */
  add(row: Row): number {
    this.rows.set(this.next, { ...row, flags: new Set(row.flags) })
    return this.next++
  }

  store(uid: number, action: 'set' | 'add' | 'remove', flags: readonly string[]): void {
    const own = this.rows.get(uid)?.flags
    if (action === 'set') own?.clear()
    for (const flag of flags)
      if (action === 'remove') own?.delete(flag)
      else own?.add(flag)
  }

  /** Messages, unseen, deleted, octets, octets of deleted ones. */
  counts(): number[] {
    const rows = [...this.rows.values()]
    const deleted = rows.filter(({ flags }) => flags.has('\\Deleted'))
    const unseen = rows.filter(({ flags }) => !flags.has('\\Seen'))
    return [rows.length, unseen.length, deleted.length, octetsOf(rows), octetsOf(deleted)]
  }

  saw(highest: number, rows: ReadonlyMap<number, string>): void {
    if (this.seen.at(-1)?.highest === highest) return
    this.seen.push({ highest, rows })
    if (this.seen.length > KEPT) this.seen.splice(1, 1)
  }
}

interface Limits {
  octets: number
  messages: number
  mailboxes: number
}
const UNLIMITED: Limits = { octets: Infinity, messages: Infinity, mailboxes: Infinity }

export class Model {
  /** History may have been trimmed. */
  trimmed = false
  #boxes: Box[] = []
  readonly #validities = new Set<string>()
  readonly #limits = new Map<Owner, Limits>()

  of(owner: Owner): readonly Box[] {
    return this.#boxes.filter((box) => box.owner === owner)
  }

  find(owner: Owner, name: string): Box | undefined {
    return this.#boxes.find((box) => box.owner === owner && box.name === name)
  }

  /** A mailbox that is new in the list. A new one has the access list of the one above it (RFC 4314 §4). */
  meet(owner: Owner, name: string, id: string, uidValidity: number): void {
    const box = new Box(owner, name, id, uidValidity)
    for (const one of [`id ${id}`, `${owner} ${uidValidity}`]) {
      assert.ok(!this.#validities.has(one), `${one} of ${name} was given before`)
      this.#validities.add(one)
    }
    box.given = this.find(owner, name.slice(0, Math.max(0, name.lastIndexOf('/'))))?.given ?? ''
    this.#boxes.push(box)
  }

  /** The highest modseq that was seen in the account. */
  clock(owner: Owner): number {
    return Math.max(0, ...this.of(owner).map(({ seen }) => seen.at(-1)?.highest ?? 0))
  }

  usage(owner: Owner): Limits {
    const rows = this.of(owner).flatMap((box) => [...box.rows.values()])
    return { octets: octetsOf(rows), messages: rows.length, mailboxes: this.of(owner).length }
  }

  limit(owner: Owner, kinds: Readonly<Record<keyof Limits, 'none' | 'tight' | 'loose'>>): QuotaChange {
    const usage = this.usage(owner)
    const room = {
      octets: { tight: 500, loose: 5000 },
      messages: { tight: 1, loose: 6 },
      mailboxes: { tight: 0, loose: 2 },
    }
    const limits = { ...UNLIMITED }
    for (const name of ['octets', 'messages', 'mailboxes'] as const) {
      const kind = kinds[name]
      if (kind !== 'none') limits[name] = usage[name] + room[name][kind]
    }
    this.#limits.set(owner, limits)
    const told = (value: number): number | 'none' => (value === Infinity ? 'none' : value)
    return { octets: told(limits.octets), messages: told(limits.messages), mailboxes: told(limits.mailboxes) }
  }

  #fits(owner: Owner, more: Limits): boolean {
    const [usage, limits] = [this.usage(owner), this.#limits.get(owner) ?? UNLIMITED]
    return (['octets', 'messages', 'mailboxes'] as const).every(
      (name) => more[name] <= 0 || usage[name] + more[name] <= limits[name],
    )
  }

  rights(box: Box, user: Owner): string {
    return box.owner === user ? ALL_RIGHTS : box.given
  }

  /** The flags that the user may set on a new message. */
  allowed(box: Box, user: Owner, flags: ReadonlySet<string>): Set<string> {
    const rights = this.rights(box, user)
    const needed = (flag: string): string => (flag === '\\Seen' ? 's' : flag === '\\Deleted' ? 't' : 'w')
    return new Set([...flags].filter((flag) => rights.includes(needed(flag))))
  }

  /** `going`: what the same change takes out of the account. */
  appendRefusal(
    owner: Owner,
    box: Box | undefined,
    user: Owner,
    rows: readonly Row[],
    going: readonly Row[] = [],
  ): readonly string[] | undefined {
    if (box === undefined || this.rights(box, user) === '') return ['TRYCREATE']
    if (!this.rights(box, user).includes('i')) return ['NOPERM']
    const more = { octets: octetsOf(rows) - octetsOf(going), messages: rows.length - going.length, mailboxes: 0 }
    return this.#fits(owner, more) ? undefined : ['OVERQUOTA']
  }

  #missing(owner: Owner, name: string): number {
    const levels = name.split('/')
    return levels.slice(1).filter((_, i) => this.find(owner, levels.slice(0, i + 1).join('/')) === undefined).length
  }

  createRefusal(owner: Owner, name: string): readonly string[] | undefined {
    if (this.find(owner, name) !== undefined) return ['ALREADYEXISTS']
    return this.#fits(owner, { octets: 0, messages: 0, mailboxes: this.#missing(owner, name) + 1 })
      ? undefined
      : ['OVERQUOTA']
  }

  deleteRefusal(owner: Owner, name: string): readonly string[] | undefined {
    if (name === 'INBOX') return ['CANNOT']
    return this.find(owner, name) === undefined ? ['NONEXISTENT'] : undefined
  }

  remove(owner: Owner, name: string): void {
    this.#boxes = this.#boxes.filter((box) => box.owner !== owner || box.name !== name)
  }

  renameRefusal(owner: Owner, from: string, to: string): readonly string[] | undefined {
    const moving = this.#moving(owner, from)
    if (moving.length === 0) return ['NONEXISTENT']
    if (this.find(owner, to) !== undefined) return ['ALREADYEXISTS']
    const inbox = from === 'INBOX'
    if (!inbox && to.startsWith(`${from}/`)) return ['CANNOT']
    const taken = (name: string): boolean => {
      const found = this.find(owner, name)
      return found !== undefined && !moving.includes(found)
    }
    if (!inbox && moving.some(({ name }) => taken(to + name.slice(from.length)))) return ['ALREADYEXISTS']
    // Names that move away are missing where the new name is below them.
    const away = inbox ? [] : moving
    const levels = to.split('/')
    const above = levels.slice(1).map((_, i) => this.find(owner, levels.slice(0, i + 1).join('/')))
    const missing = above.filter((box) => box === undefined || away.includes(box)).length
    return this.#fits(owner, { octets: 0, messages: 0, mailboxes: missing + (inbox ? 1 : 0) })
      ? undefined
      : ['OVERQUOTA']
  }

  #moving(owner: Owner, from: string): readonly Box[] {
    return this.of(owner).filter(({ name }) => name === from || name.startsWith(`${from}/`))
  }

  rename(owner: Owner, from: string, to: string): void {
    for (const box of this.#moving(owner, from)) box.name = to + box.name.slice(from.length)
  }
}

const octetsOf = (rows: readonly Row[]): number => rows.reduce((sum, { size }) => sum + size, 0)

export const same = (one: ReadonlyMap<number, string>, two: ReadonlyMap<number, string>): boolean =>
  one.size === two.size && [...one].every(([uid, text]) => two.get(uid) === text)
