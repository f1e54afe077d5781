// One copy of a text for all who keep it.

/**
 * The same text, of which there is one copy in memory however many keep it: V8 keeps the names of properties once, as long as somebody has them. For texts that many keep for long, such as the
 * addresses in rosters.
 */
export function sharedText(text: string): string {
  // Without a prototype it is a dictionary from the beginning: no shape is made for each name.
  const names = Object.create(null) as Record<string, true>
  names[text] = true
  for (const name in names) return name
  return text
}
