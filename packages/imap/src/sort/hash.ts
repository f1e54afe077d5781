// Texts that are only ever compared for equality, as numbers: a column of them is small and quick.

/** 53 bits of a text, never 0. Two texts of a mailbox of a million messages have one number with a chance of one in ten thousand. */
export function hashText(text: string): number {
  let a = 0x9e3779b1
  let b = 0x85ebca6b
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x85ebca77)
    b = Math.imul(b ^ unit, 0xc2b2ae3d)
    a ^= a >>> 15
    b ^= b >>> 13
  }
  a = Math.imul(a ^ (b >>> 16), 0x27d4eb2f)
  b = Math.imul(b ^ (a >>> 13), 0x165667b1)
  return ((a ^ (a >>> 16)) >>> 0) * 0x200000 + ((b ^ (b >>> 15)) & 0x1fffff) || 1
}
