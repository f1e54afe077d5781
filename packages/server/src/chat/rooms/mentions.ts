// Members of a room who are not in it, and are to learn that they were spoken to: for push

import { type Element, Jid } from '@aviso/xmpp'
import { type Affiliated, type Occupant, RANK } from './contracts.ts'
import type { Room } from './room.ts'

const REFERENCE = 'urn:xmpp:reference:0'
export const MENTIONS = 'urn:xmpp:mentions:0'

/** Tells those who wake people of a message that was said, for each member of this server that is not there. */
export function wakeAbsent(room: Room, from: Occupant, said: Element): void {
  const { hall } = room
  const { notify } = hall.settings
  if (notify === 'nothing') return
  let present: Set<string> | undefined
  const meaning = meaningOf(said)
  for (const member of room.affiliations.values()) {
    if (RANK[member.affiliation] < RANK.member || member.jid === from.bare || !hall.isLocal(member.jid)) continue
    if (notify === 'mentions' && !isMeant(room, member, meaning)) continue
    present ??= new Set([...room.occupants.values()].map(({ bare }) => bare))
    if (!present.has(member.jid)) hall.mention(member.jid, said)
  }
}

/** To whom a message turns. */
interface Meaning {
  /** Its text, in small letters. */
  readonly text: string
  /** Addresses that it refers to (XEP-0372, XEP-0513). */
  readonly addresses: ReadonlySet<string>
  /** Occupants whom it mentions by their ids (XEP-0513 §4.1). */
  readonly occupants: ReadonlySet<string>
}

function meaningOf(said: Element): Meaning {
  const addresses = new Set<string>()
  const occupants = new Set<string>()
  for (const child of said.elements) {
    const uri = child.is('reference', REFERENCE) ? (child.get('uri') ?? '') : ''
    if (uri.startsWith('xmpp:')) addresses.add(uri.slice('xmpp:'.length))
    // Those with `mentions` are for groups.
    if (!child.is('mention', MENTIONS) || child.get('mentions') !== undefined) continue
    addresses.add(child.get('jid') ?? '')
    occupants.add(child.get('occupantid') ?? '')
  }
  return { text: (said.childText('body') ?? '').toLowerCase(), addresses, occupants }
}

/** He is referred to, or the nick is in the text as a word of its own. */
function isMeant(room: Room, { jid, nick }: Affiliated, { text, addresses, occupants }: Meaning): boolean {
  if (addresses.has(jid) || (occupants.size > 0 && occupants.has(room.idOf(jid)))) return true
  const name = (nick === '' ? (Jid.tryParse(jid)?.local ?? '') : nick).toLowerCase()
  if (name === '') return false
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!isWord(text.charAt(at - 1)) && !isWord(text.charAt(at + name.length))) return true
  return false
}

const isWord = (character: string): boolean => /[\p{L}\p{N}]/u.test(character)
