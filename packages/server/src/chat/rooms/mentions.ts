// Members of a room who are not in it, and are to learn that they were spoken to: for push

import { type Element, Jid } from '@aviso/xmpp'
import { type Affiliated, type Occupant, RANK } from './contracts.ts'
import type { Room } from './room.ts'

const REFERENCE = 'urn:xmpp:reference:0'

/** Tells those who wake people of a message that was said, for each member of this server that is not there. */
export function wakeAbsent(room: Room, from: Occupant, said: Element): void {
  const { hall } = room
  const { notify } = hall.settings
  if (notify === 'nothing') return
  let present: Set<string> | undefined
  const text = (said.childText('body') ?? '').toLowerCase()
  const references = said.elements
    .filter((child) => child.is('reference', REFERENCE))
    .map((child) => child.get('uri') ?? '')
  for (const member of room.affiliations.values()) {
    if (RANK[member.affiliation] < RANK.member || member.jid === from.bare || !hall.isLocal(member.jid)) continue
    if (notify === 'mentions' && !isMeant(member, text, references)) continue
    present ??= new Set([...room.occupants.values()].map(({ bare }) => bare))
    if (!present.has(member.jid)) hall.mention(member.jid, said)
  }
}

/** The nick is in the text as a word of its own, or the message refers to the address (XEP-0372). */
function isMeant({ jid, nick }: Affiliated, text: string, references: readonly string[]): boolean {
  if (references.some((uri) => uri === `xmpp:${jid}`)) return true
  const name = (nick === '' ? (Jid.tryParse(jid)?.local ?? '') : nick).toLowerCase()
  if (name === '') return false
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!isWord(text.charAt(at - 1)) && !isWord(text.charAt(at + name.length))) return true
  return false
}

const isWord = (character: string): boolean => /[\p{L}\p{N}]/u.test(character)
