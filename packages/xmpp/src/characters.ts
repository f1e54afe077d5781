// The characters of XML 1.0 (fifth edition) §2.2-2.3 that a parser has to tell apart.

export const TAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SPACE = 0x20
export const QUOTE = 0x22
export const AMP = 0x26
export const APOS = 0x27
export const SLASH = 0x2f
export const COLON = 0x3a
export const LT = 0x3c
export const QUESTION = 0x3f
export const BANG = 0x21
export const EQUALS = 0x3d
export const GT = 0x3e
export const BRACKET = 0x5d

export const NAME_START = 1
export const NAME = 2
/** A character that ends the fast scan of text or of an attribute value. */
export const NOTABLE = 4
export const CLASS = new Uint8Array(128)
for (let code = 0; code < 128; code++) {
  const letter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f
  const digit = (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e
  const notable = code < SPACE || [AMP, LT, BRACKET, QUOTE, APOS].includes(code)
  CLASS[code] = (letter ? NAME_START | NAME : 0) | (digit ? NAME : 0) | (notable ? NOTABLE : 0)
}

// XML 1.0 (fifth edition) §2.3, without ASCII
export function isNameStart(point: number): boolean {
  return (
    (point >= 0xc0 && point <= 0x2ff && point !== 0xd7 && point !== 0xf7) ||
    (point >= 0x370 && point <= 0x1fff && point !== 0x37e) ||
    point === 0x200c ||
    point === 0x200d ||
    (point >= 0x2070 && point <= 0x218f) ||
    (point >= 0x2c00 && point <= 0x2fef) ||
    (point >= 0x3001 && point <= 0xd7ff) ||
    (point >= 0xf900 && point <= 0xfdcf) ||
    (point >= 0xfdf0 && point <= 0xfffd) ||
    (point >= 0x10000 && point <= 0xeffff)
  )
}

export function isNameExtra(point: number): boolean {
  return point === 0xb7 || (point >= 0x300 && point <= 0x36f) || point === 0x203f || point === 0x2040
}
