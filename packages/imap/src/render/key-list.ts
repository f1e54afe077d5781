// Keys of many messages in one text: to hand over, to fold and to hash, a hundred thousand texts cost ten times what one text of their length does.

/** Stands between keys in one text. */
export const KEY_SEPARATOR = '\x1f'

/** The keys in one text, each without what stands between them. */
export const joinKeys = (keys: readonly string[]): string =>
  keys.map((key) => (key.includes(KEY_SEPARATOR) ? key.replaceAll(KEY_SEPARATOR, ' ') : key)).join(KEY_SEPARATOR)

/** Where the key that begins at `start` ends; the next one begins behind that. */
export function keyEnd(keys: string, start: number): number {
  const end = keys.indexOf(KEY_SEPARATOR, start)
  return end < 0 ? keys.length : end
}

/** The keys one by one, where they are few. */
export const splitKeys = (keys: string): string[] => keys.split(KEY_SEPARATOR)
