// RFC 2971 ID

import { defineCommand } from '../server/command.ts'
import { quote } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'

/** Apple's mail programs say what they came for, and go away for a while when they are told to (Apple TN3191). */
function isBackgroundWork(fields: Readonly<Record<string, string | undefined>>): boolean {
  return (
    fields['name']?.toLowerCase().startsWith('com.apple.') === true && /indexer|back-fill/i.test(fields['event'] ?? '')
  )
}

export const id = defineCommand({
  name: 'ID',
  state: 'any',
  news: 'none',
  parse(parser) {
    const fields: Record<string, string | undefined> = Object.create(null)
    parser.space()
    if (parser.tryWord('NIL')) return fields
    let name: string | undefined
    let count = 0
    parser.list(() => {
      if (name === undefined) {
        name = Buffer.from(parser.string()).toString('utf8')
        if (++count > 30 || name.length > 30) throw bad('ID takes at most 30 fields, with names of at most 30 octets')
      } else {
        const value = parser.nilText()
        if (value !== undefined && value.length > 1024) throw bad('A value of ID has at most 1024 octets')
        fields[name.toLowerCase()] = value
        name = undefined
      }
    })
    if (name !== undefined) throw bad('Every field of ID has a value')
    return fields
  },
  async execute(session, fields) {
    session.options.log?.('client-id', { ...fields })
    if (isBackgroundWork(fields) && session.options.busy?.() === true)
      throw no('The server is busy: come back later for work that nobody waits for', 'UNAVAILABLE')
    const own = Object.entries(session.options.id ?? {}).map(([name, value]) => `${quote(name)} ${quote(value)}`)
    session.out.untagged(own.length === 0 ? 'ID NIL' : `ID (${own.join(' ')})`)
  },
})
