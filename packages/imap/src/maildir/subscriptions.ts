// Dovecot's `subscriptions`: names in modified UTF-7, one a line; in version 2 the levels are set apart by tabs.

import { canonicalName, decodeMutf7, encodeMutf7 } from '../wire/mailbox-name.ts'

const VERSION_2 = 'V\t2'

/** Names of a file's text. `separator` is that of a version 1 file. */
export function parseSubscriptions(text: string, separator: string): Set<string> {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''))
  const version2 = lines[0] === VERSION_2
  const names = new Set<string>()
  for (const line of version2 ? lines.slice(1) : lines) {
    if (line === '') continue
    const levels = line.split(version2 ? '\t' : separator).map((level) => decodeMutf7(level) ?? level)
    names.add(canonicalName(levels.join('/')))
  }
  return names
}

export const formatSubscriptions = (names: Iterable<string>): string =>
  `${VERSION_2}\n\n${[...names].map((name) => `${name.split('/').map(encodeMutf7).join('\t')}\n`).join('')}`
