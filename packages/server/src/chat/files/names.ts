// What a file may be called, and what it may say that it is

/** Octets of a name; no file system takes more. */
const MAX_NAME = 255

/** Letters that turn the direction of text around, by which `exe.jpg` can hide what it is, and others that nobody sees. */
const INVISIBLE = /[\u061C\u200B-\u200F\u202A-\u202E\u2060-\u2069\uFEFF]/g
const FORBIDDEN = /[/\\\p{Cc}]/u

/** The name of a file without what nobody could see in it; undefined where it is none: empty, too long, with slashes or control characters, or a place in a tree. */
export function fileName(text: string): string | undefined {
  const name = text.replaceAll(INVISIBLE, '').trim()
  if (name === '' || name === '.' || name === '..' || FORBIDDEN.test(name) || !name.isWellFormed()) return undefined
  return Buffer.byteLength(name) > MAX_NAME ? undefined : name
}

const TOKEN = '[A-Za-z0-9!#$&^_.+-]{1,100}'
const MEDIA_TYPE = new RegExp(`^(${TOKEN})/(${TOKEN})[ \\t]*(;[\\t\\x20-\\x7E]*)?$`)

/** `type/subtype` in small letters, without parameters (RFC 9110 §8.3.1); undefined where it is none. */
export function mediaType(text: string): string | undefined {
  const match = text.length > 300 ? null : MEDIA_TYPE.exec(text.trim())
  return match === null ? undefined : `${match[1]}/${match[2]}`.toLowerCase()
}

/** What browsers would run or follow scripts in, whatever family it belongs to. */
const ACTIVE = /^(?:image\/svg|text\/html|.*[/+]xml$|.*script)/

/** True where a type is among those of a list such as `image/*` or `text/plain`. A family does not stand for those of it that can hold scripts. */
export function typeIsAmong(type: string, list: readonly string[]): boolean {
  const inFamily = (entry: string): boolean =>
    entry.endsWith('/*') && type.startsWith(entry.slice(0, -1)) && !ACTIVE.test(type)
  return list.some((entry) => entry === type || inFamily(entry))
}

/** As a `Content-Disposition` (RFC 6266, RFC 8187) that every browser reads. */
export function disposition(kind: 'inline' | 'attachment', name: string): string {
  const plain = name.replaceAll(/[^\x20-\x7E]|["\\%]/g, '_')
  const coded = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${kind}; filename="${plain}"; filename*=UTF-8''${coded}`
}
