// XEP-0045: the words of rooms.

import type { Element, Jid } from '@aviso/xmpp'
import type { Origin } from '../core/contracts.ts'

export const MUC = 'http://jabber.org/protocol/muc'
export const MUC_USER = `${MUC}#user`
export const MUC_ADMIN = `${MUC}#admin`
export const MUC_OWNER = `${MUC}#owner`
export const DIRECT_INVITE = 'jabber:x:conference'
export const OCCUPANT_ID = 'urn:xmpp:occupant-id:0'
export const HATS = 'urn:xmpp:hats:0'
export const MODERATE = 'urn:xmpp:message-moderate:1'
export const RETRACT = 'urn:xmpp:message-retract:1'

/** What somebody is to a room, for good (§5.2). */
export type Affiliation = 'owner' | 'admin' | 'member' | 'none' | 'outcast'
/** What somebody may do while he is in it (§5.1). */
export type Role = 'moderator' | 'participant' | 'visitor' | 'none'

export const AFFILIATIONS: readonly Affiliation[] = ['owner', 'admin', 'member', 'none', 'outcast']
export const ROLES: readonly Role[] = ['moderator', 'participant', 'visitor', 'none']

/** Higher may do more. */
export const RANK: Readonly<Record<Affiliation, number>> = { outcast: 0, none: 1, member: 2, admin: 3, owner: 4 }
export const ROLE_RANK: Readonly<Record<Role, number>> = { none: 0, visitor: 1, participant: 2, moderator: 3 }

/** XEP-0317: a title that somebody wears in a room. */
export interface Hat {
  readonly uri: string
  readonly title: string
  /** An angle, in degrees. */
  readonly hue?: string | undefined
}

/** What a room knows of somebody, whether he is in it or not. */
export interface Affiliated {
  /** Bare, or a domain. */
  readonly jid: string
  readonly affiliation: Affiliation
  /** The nick that is his here (§7.10), or ''. */
  readonly nick: string
  /** Why he has the affiliation, or ''. */
  readonly reason: string
  readonly hats: readonly Hat[]
}

/** One client in a room. Several clients of one person may share a nick: they are one occupant. */
export interface RoomSession {
  readonly occupant: Occupant
  readonly jid: Jid
  /** The full JID. */
  readonly full: string
  /** What its presence contains, without what only rooms may say. */
  presence: Element
}

/** Who has a nick. */
export interface Occupant {
  readonly nick: string
  /** The room's JID with the nick. */
  readonly jid: Jid
  readonly full: string
  /** The nick as a sender. */
  readonly origin: Origin
  /** The real address, bare. */
  readonly bare: string
  /** XEP-0421 */
  readonly id: string
  role: Role
  /** The first one speaks for the nick. */
  sessions: readonly RoomSession[]
  /** His presence as others get it, as long as nothing changes: for those who see real addresses, and for others. */
  shown: { open?: Element; anonymous?: Element }
}

export interface Subject {
  readonly text: string
  readonly nick: string
  /** Milliseconds. */
  readonly at: number
}

/** Where a room was that is no more. */
export interface Tombstone {
  readonly at: number
  readonly reason: string
  /** Another room, or ''. */
  readonly venue: string
}
