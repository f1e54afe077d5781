// XEP-0045: a room: what is known of it, who is in it, and how it speaks to them.

import { createHmac } from 'node:crypto'
import { el, type Element, Jid } from '@aviso/xmpp'
import { RecentMap } from '../../accounts/recent.ts'
import type { Origin } from '../core/contracts.ts'
import {
  type Affiliated,
  type Affiliation,
  AFFILIATIONS,
  type Hat,
  MUC_USER,
  type Occupant,
  OCCUPANT_ID,
  RANK,
  type Role,
  type RoomSession,
  type Subject,
} from './contracts.ts'
import type { Hall } from './hall.ts'
import { looksOf } from './nick.ts'
import { keptConfig, type RoomConfig } from './room-config.ts'
import type { AffiliationRow, RoomRow } from './rows.ts'

/** People whose last message, or invitation, a room remembers. */
const REMEMBERED = 1000

/** A message that is shown to who enters: with the time at which it was said, without `to`. */
export interface Remembered {
  readonly id: string
  readonly at: number
  readonly stanza: Element
}

/** A question of one occupant to another, see `private-requests.ts`. */
export interface Asked {
  /** Who asked: a full JID, and the id that he gave it. */
  readonly asker: string
  readonly id: string
  /** Who is to answer. */
  readonly answerer: Occupant
}

export class Room {
  readonly hall: Hall
  readonly id: number
  readonly name: string
  readonly jid: Jid
  readonly bare: string
  /** The room itself as a sender. */
  readonly origin: Origin
  config: RoomConfig
  subject: Subject | undefined
  /** The hash of its picture, or ''. */
  avatar: string
  locked: boolean
  /** Destroyed: whoever still holds it finds nobody in it. */
  gone = false
  /** Requests that work with it: it stays in memory meanwhile. */
  busy = 0
  /** By bare JID or domain; who has nothing here is not in it. */
  readonly affiliations = new Map<string, Affiliated>()
  readonly occupants = new Map<string, Occupant>()
  /** By full JID. */
  readonly sessions = new Map<string, RoomSession>()
  readonly history: Remembered[] = []
  /** When people spoke last, by bare JID: for slow mode. */
  readonly spoke = new RecentMap<string, number>(REMEMBERED)
  /** Who invited whom, by the bare JID of who was invited: so that a refusal finds back. */
  readonly invited = new RecentMap<string, string>(REMEMBERED)
  readonly asked = new RecentMap<string, Asked>(REMEMBERED)
  #turn: Promise<void> = Promise.resolve()
  readonly #salt: string
  /** Occupants, and who has reserved a nick, by what the nick looks like. */
  readonly #looks = new Map<string, Occupant>()
  readonly #reserved = new Map<string, string>()

  constructor(hall: Hall, row: RoomRow, affiliations: readonly AffiliationRow[]) {
    this.hall = hall
    this.id = row.id
    this.name = row.name
    this.jid = Jid.of(row.name, hall.domain)
    this.bare = this.jid.toString()
    this.origin = hall.origin(this.jid)
    this.config = keptConfig(row.config, hall.settings)
    this.subject = row.subject === '' ? undefined : (JSON.parse(row.subject) as Subject)
    this.avatar = row.avatar
    this.locked = row.locked
    this.#salt = row.salt
    for (const affiliation of affiliations) this.affiliated(fromRow(affiliation))
  }

  get title(): string {
    return this.config.title === '' ? this.name : this.config.title
  }

  /**
   * Changes of what people are to the room, and of its settings, are made one after the other: each is allowed or refused by what the one before has left. What waits is bounded by
   * those who ask: each waits for his answer.
   */
  inTurn<T>(act: () => T | Promise<T>): Promise<T> {
    const turn = this.#turn.then(act)
    this.#turn = turn.then(
      () => {},
      () => {},
    )
    return turn
  }

  // Who is what

  /** What somebody is to the room, by the bare JID; who is nothing himself is what his domain is. */
  affiliationOf(bare: string): Affiliation {
    const own = this.affiliations.get(bare)?.affiliation ?? 'none'
    if (this.hall.rulesRooms(bare)) return 'owner'
    if (own !== 'none') return own
    return this.affiliations.get(bare.slice(bare.indexOf('@') + 1))?.affiliation ?? 'none'
  }

  rankOf(bare: string): number {
    return RANK[this.affiliationOf(bare)]
  }

  /** Takes over what was kept of somebody. */
  affiliated(entry: Affiliated): void {
    const before = this.affiliations.get(entry.jid)
    if (before !== undefined && before.nick !== '') this.#reserved.delete(looksOf(before.nick))
    if (isNothing(entry)) this.affiliations.delete(entry.jid)
    else this.affiliations.set(entry.jid, entry)
    if (entry.nick !== '') this.#reserved.set(looksOf(entry.nick), entry.jid)
  }

  /** What is known of somebody; nothing at all of most. */
  entryOf(bare: string): Affiliated {
    return this.affiliations.get(bare) ?? { jid: bare, affiliation: 'none', nick: '', reason: '', hats: [] }
  }

  withAffiliation(affiliation: Affiliation): readonly Affiliated[] {
    return [...this.affiliations.values()].filter((entry) => entry.affiliation === affiliation)
  }

  /** The role that somebody enters with (§5.1.2). */
  roleFor(affiliation: Affiliation): Role {
    if (affiliation === 'outcast') return 'none'
    if (RANK[affiliation] >= RANK.admin) return 'moderator'
    return affiliation === 'none' && this.config.moderated ? 'visitor' : 'participant'
  }

  /** True for those who are shown real addresses. */
  isOpenTo(viewer: Occupant): boolean {
    return this.config.publicJids || viewer.role === 'moderator'
  }

  /** True where everybody is shown that somebody with that role is there. */
  shows(role: Role): boolean {
    return this.config.broadcast.some((shown) => shown === role)
  }

  // Who is there

  /** The occupant whose nick looks like this one, or is it. */
  occupantLike(nick: string): Occupant | undefined {
    const same = this.occupants.get(nick)
    if (same !== undefined) return same
    return this.hall.settings['look-alikes'] === 'refuse' ? this.#looks.get(looksOf(nick)) : undefined
  }

  /** Whose nick this is by reservation (or looks like). */
  reservedFor(nick: string): string | undefined {
    return this.#reserved.get(looksOf(nick))
  }

  /** XEP-0421: by what others know somebody in this room, whether he is in it or not. */
  idOf(bare: string): string {
    return createHmac('sha256', this.#salt).update(bare).digest('base64url')
  }

  /** Somebody takes a nick. */
  seat(nick: string, bare: string, role: Role): Occupant {
    const jid = this.jid.withResource(nick)
    const id = this.idOf(bare)
    const origin = this.hall.origin(jid)
    const occupant = { nick, jid, full: jid.toString(), origin, bare, id, role, sessions: [], shown: {} }
    this.occupants.set(nick, occupant)
    this.#looks.set(looksOf(nick), occupant)
    return occupant
  }

  addSession(session: RoomSession): void {
    session.occupant.sessions = [...session.occupant.sessions, session]
    session.occupant.shown = {}
    this.sessions.set(session.full, session)
    this.hall.occupied(1)
  }

  /** Takes a client out, and its occupant with the last of them. */
  removeSession(session: RoomSession): void {
    const { occupant } = session
    if (this.sessions.get(session.full) === session) {
      this.sessions.delete(session.full)
      this.hall.occupied(-1)
    }
    occupant.sessions = occupant.sessions.filter((other) => other !== session)
    occupant.shown = {}
    if (occupant.sessions.length > 0) return
    if (this.occupants.get(occupant.nick) === occupant) this.occupants.delete(occupant.nick)
    const looks = looksOf(occupant.nick)
    if (this.#looks.get(looks) === occupant) this.#looks.delete(looks)
  }

  occupantsOf(bare: string): readonly Occupant[] {
    return [...this.occupants.values()].filter((occupant) => occupant.bare === bare)
  }

  // How it speaks

  /** Sends a stanza of the room's to one client. */
  send(to: RoomSession, stanza: Element, origin: Origin = this.origin): void {
    this.hall.send(stanza.with({ to: to.full }), origin)
  }

  /** Sends a stanza without `to` to all; its content is made text once. */
  broadcast(stanza: Element, origin: Origin = this.origin, wanted?: (to: RoomSession) => boolean): void {
    const prepared = stanza.prepared()
    for (const to of this.sessions.values())
      if (wanted?.(to) !== false) this.hall.send(prepared.with({ to: to.full }), origin)
  }

  /** Tells all that something about the room has changed (§10.2.1). */
  tellStatus(...codes: number[]): void {
    if (codes.length === 0) return
    this.broadcast(
      el('message', { from: this.bare, type: 'groupchat' }, el('x', { xmlns: MUC_USER }, ...codes.map(status))),
    )
  }
}

export const status = (code: number): Element => el('status', { code })

export const occupantId = ({ id }: Occupant): Element => el('occupant-id', { xmlns: OCCUPANT_ID, id })

const isNothing = ({ affiliation, nick, hats }: Affiliated): boolean =>
  affiliation === 'none' && nick === '' && hats.length === 0

export function fromRow({ jid, affiliation, nick, reason, hats }: AffiliationRow): Affiliated {
  const known = AFFILIATIONS.find((each) => each === affiliation) ?? 'none'
  return { jid, affiliation: known, nick, reason, hats: JSON.parse(hats) as readonly Hat[] }
}

export const toRow = ({ hats, ...entry }: Affiliated): AffiliationRow => ({ ...entry, hats: JSON.stringify(hats) })
