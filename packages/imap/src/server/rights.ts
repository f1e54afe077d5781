// RFC 4314 §2.1: rights as letters, and the two old ones that stand for several.

import { ALL_RIGHTS, type Rights } from '../backend.ts'
import { bad } from '../wire/errors.ts'

/** Any one of these lets a user know that a mailbox exists (RFC 4314 §4, MYRIGHTS). */
const REVEALING = 'lrikxa'

/** RFC 4314 §2.1.1: what `c` and `d` of RFC 2086 stand for here. */
const VIRTUAL = { c: 'kx', d: 'et' } as const

/** True when the holder of `rights` (undefined: the owner) has one of `letters`. */
export function allows(rights: Rights | undefined, letters: string): boolean {
  if (rights === undefined) return true
  for (const letter of letters) if (rights.includes(letter)) return true
  return false
}

/** True when the mailbox may be spoken of to this user at all. */
export const reveals = (rights: Rights | undefined): boolean => allows(rights, REVEALING)

/** Rights for MYRIGHTS and ACL: each letter once, with `c` and `d` where a right that they stand for is there. */
export function showRights(rights: Rights | undefined): string {
  const held = rights ?? ALL_RIGHTS
  let out = ''
  for (const letter of ALL_RIGHTS) if (held.includes(letter)) out += letter
  if (allows(held, VIRTUAL.c)) out += 'c'
  if (allows(held, VIRTUAL.d)) out += 'd'
  return out
}

/** What SETACL does to the rights an identifier has. */
export interface RightsChange {
  readonly action: 'set' | 'add' | 'remove'
  readonly rights: Rights
}

/** `+lr`, `-x`, `lrs`: throws BAD for a letter that is no right (RFC 4314 §3.1). */
export function parseRightsChange(text: string): RightsChange {
  const action = text.startsWith('+') ? 'add' : text.startsWith('-') ? 'remove' : 'set'
  const rights = new Set<string>()
  for (const letter of action === 'set' ? text : text.slice(1)) {
    const letters = letter === 'c' || letter === 'd' ? VIRTUAL[letter] : letter
    for (const right of letters) {
      if (!ALL_RIGHTS.includes(right))
        throw bad(`There is no right ${JSON.stringify(right)} here: known are ${ALL_RIGHTS}`)
      rights.add(right)
    }
  }
  return { action, rights: [...rights].join('') }
}

/** The rights after a change, in our order. */
export function changeRights(held: Rights, { action, rights }: RightsChange): Rights {
  let out = ''
  for (const letter of ALL_RIGHTS) {
    const named = rights.includes(letter)
    if (action === 'remove' ? held.includes(letter) && !named : named || (action === 'add' && held.includes(letter)))
      out += letter
  }
  return out
}
