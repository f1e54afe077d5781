// RFC 8264, RFC 8265: the preparation of localparts and resourceparts beyond ASCII, on the Unicode tables that Node carries.
// Left out: the Bidi rule (needs a table that Node has not), and contextual rules other than "refused in a localpart".

/** RFC 8264 §9.6 (Exceptions), those that the general categories would refuse. */
const EXCEPTIONALLY_VALID = new Set([0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007])
/** RFC 8264 §9.6, those refused, and the contextual ones of RFC 5892 appendix A that names do well without. */
const EXCEPTIONALLY_INVALID = new Set([
  0xb7, 0x375, 0x5f3, 0x5f4, 0x640, 0x7fa, 0x200c, 0x200d, 0x302e, 0x302f, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035,
  0x303b, 0x30fb,
])
const LETTERS_AND_DIGITS = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}]$/u
const FREEFORM = /^[\p{L}\p{N}\p{M}\p{S}\p{P}\p{Zs}]$/u
const IGNORABLE = /^[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]$/u
const FULL_OR_HALF_WIDTH = /[\u3000\uff01-\uffef]/gu
/** Joiners and variation selectors: stringprep's resourceprep mapped them to nothing, our peers still do, and emoji are full of them. */
const MAPPED_TO_NOTHING = /\u200c|\u200d|[\ufe00-\ufe0f]/g

/** UsernameCaseMapped (RFC 8265 §3.3): width mapping, lower case, NFC, IdentifierClass. Undefined if a character is refused. */
export function prepareUsername(text: string): string | undefined {
  const prepared = text
    .replace(FULL_OR_HALF_WIDTH, (character) => character.normalize('NFKC'))
    .toLowerCase()
    .normalize('NFC')
  for (const character of prepared) if (!isIdentifier(character)) return undefined
  return prepared
}

/** OpaqueString (RFC 8265 §4.2): spaces beyond ASCII become U+0020, NFC, FreeformClass. Undefined if a character is refused or nothing is left. */
export function prepareOpaque(text: string): string | undefined {
  const prepared = text
    .replace(MAPPED_TO_NOTHING, '')
    .replace(/\p{Zs}/gu, ' ')
    .normalize('NFC')
  for (const character of prepared) {
    const point = character.codePointAt(0) as number
    const refused =
      point < 0x80
        ? point < 0x20 || point === 0x7f
        : !FREEFORM.test(character) || IGNORABLE.test(character) || isOldJamo(point)
    if (refused) return undefined
  }
  return prepared === '' ? undefined : prepared
}

function isIdentifier(character: string): boolean {
  const point = character.codePointAt(0) as number
  if (point < 0x80) return point > 0x20 && point < 0x7f
  if (EXCEPTIONALLY_VALID.has(point)) return true
  if (EXCEPTIONALLY_INVALID.has(point) || isOldJamo(point) || IGNORABLE.test(character)) return false
  return LETTERS_AND_DIGITS.test(character) && character.normalize('NFKC') === character.normalize('NFC')
}

function isOldJamo(point: number): boolean {
  return (
    (point >= 0x1100 && point <= 0x11ff) || (point >= 0xa960 && point <= 0xa97c) || (point >= 0xd7b0 && point <= 0xd7fb)
  )
}
