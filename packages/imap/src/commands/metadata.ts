// RFC 5464 GETMETADATA, SETMETADATA

import type { Bytes, MailAccount } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { knownMailbox } from '../server/listing.ts'
import { bad, no } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import {
  allEntries,
  checkAnnotatable,
  checkSettable,
  parseEntryName,
  SPECIAL_USE_ENTRY,
  writeEntries,
} from './metadata-entries.ts'

const SLASH = 0x2f
const QUOTE = 0x22
const UNKNOWN = 'This account has no METADATA'

interface Options {
  readonly maxSize: number
  /** Levels below the entries named. */
  readonly depth: number
}

function parseOption(parser: Parser, options: { maxSize: number; depth: number }): void {
  const name = parser.word()
  parser.space()
  if (name === 'MAXSIZE') {
    options.maxSize = parser.number()
  } else if (name === 'DEPTH') {
    const depth = parser.word()
    if (depth !== '0' && depth !== '1' && depth !== 'INFINITY') throw bad('DEPTH is 0, 1 or infinity')
    options.depth = depth === 'INFINITY' ? Infinity : Number(depth)
  } else throw bad(`GETMETADATA does not know the option ${name.slice(0, 40)}`)
}

const atEntry = (parser: Parser): boolean => parser.peek() === SLASH || parser.peek() === QUOTE || parser.atLiteral

function parseGet(parser: Parser): { mailbox: string; names: string[] } & Options {
  const options = { maxSize: Infinity, depth: 0 }
  const names: string[] = []
  const entry = (): void => {
    names.push(parseEntryName(parser))
  }
  parser.space()
  // The grammar has the options in front of the mailbox, the examples behind it; clients do either.
  const optionsFirst = parser.atList
  if (optionsFirst) {
    parser.list(() => parseOption(parser, options))
    parser.space()
  }
  const mailbox = parser.mailbox()
  parser.space()
  if (parser.atList) {
    // Names of entries begin with a slash, bare or in quotes; options are words.
    const found: ('entry' | 'option')[] = []
    parser.list(() => {
      const kind = (optionsFirst ? 'entry' : found[0]) ?? (atEntry(parser) ? 'entry' : 'option')
      found.push(kind)
      if (kind === 'entry') entry()
      else parseOption(parser, options)
    })
    if (found[0] === 'option') {
      parser.space()
      if (parser.atList) parser.list(entry)
      else entry()
    }
  } else entry()
  if (names.length === 0) throw bad('GETMETADATA needs at least one entry')
  if (names.length > parser.limits.metadataEntries)
    throw no(`GETMETADATA takes ${parser.limits.metadataEntries} entries at most`, 'LIMIT')
  return { mailbox, names, ...options }
}

async function entriesOf(account: MailAccount, mailbox: string): Promise<ReadonlyMap<string, Bytes>> {
  if (account.metadata === undefined) throw bad(UNKNOWN)
  if (mailbox === '') return account.metadata(undefined)
  const entry = await knownMailbox(account, mailbox)
  checkAnnotatable(entry)
  return allEntries(account, entry)
}

/** True when `name` is at most `depth` levels below `above`. */
function within(name: string, above: string, depth: number): boolean {
  if (!name.startsWith(`${above}/`)) return false
  return name.slice(above.length + 1).split('/').length <= depth
}

export const getMetadata = defineCommand({
  name: 'GETMETADATA',
  state: 'authenticated',
  parse: parseGet,
  async execute(session, { mailbox, names, maxSize, depth }) {
    const kept = await entriesOf(session.account, mailbox)
    const answer = new Map<string, Bytes | undefined>()
    const told = new Set<string>()
    let longest = 0
    const add = (name: string, value: Bytes | undefined): void => {
      const key = name.toLowerCase()
      if (told.has(key)) return
      told.add(key)
      if (value === undefined || value.length <= maxSize) answer.set(name, value)
      else longest = Math.max(longest, value.length)
    }
    for (const name of names) {
      const key = name.toLowerCase()
      const value = kept.get(key)
      // Asked for by its name alone, an entry without a value is answered so; below it, only what is there.
      if (value !== undefined || depth === 0) add(name, value)
      if (depth > 0) for (const [below, held] of kept) if (within(below, key, depth)) add(below, held)
      if (session.winded) await session.breathe()
    }
    writeEntries(session, mailbox, answer)
    return longest > 0 ? { code: `METADATA LONGENTRIES ${longest}` } : {}
  },
})

function parseValue(parser: Parser): Bytes | undefined {
  if (parser.atLiteral) {
    const { octets, binary } = parser.literal()
    if (!binary && octets.includes(0)) throw bad('A value that holds NUL is a binary literal (~{n})')
    return octets
  }
  return parser.tryWord('NIL') ? undefined : parser.string()
}

export const setMetadata = defineCommand({
  name: 'SETMETADATA',
  state: 'authenticated',
  parse(parser) {
    parser.space()
    const mailbox = parser.mailbox()
    parser.space()
    const entries = new Map<string, Bytes | undefined>()
    parser.list(() => {
      const name = parseEntryName(parser)
      checkSettable(name)
      parser.space()
      entries.set(name.toLowerCase(), parseValue(parser))
    })
    if (entries.size === 0) throw bad('SETMETADATA needs at least one entry')
    if (entries.size > parser.limits.metadataEntries)
      throw no(`SETMETADATA takes ${parser.limits.metadataEntries} entries at most`, 'LIMIT')
    return { mailbox, entries }
  },
  async execute(session, { mailbox, entries }) {
    const { account } = session
    if (account.setMetadata === undefined) throw bad(UNKNOWN)
    let id: string | undefined
    if (mailbox === '') {
      // RFC 5464 §3.2.1.1: how to reach the administrator is the administrator's to say.
      if (entries.has('/shared/admin')) throw no('/shared/admin cannot be changed', 'NOPERM')
    } else {
      const entry = await knownMailbox(account, mailbox)
      checkAnnotatable(entry)
      if (entries.has(SPECIAL_USE_ENTRY)) throw no('The special use is given with CREATE', 'CANNOT')
      id = entry.id
    }
    const told = session.notifications.ownAnnotations(id, [...entries.keys()])
    try {
      await account.setMetadata(mailbox === '' ? undefined : mailbox, entries)
    } finally {
      told()
    }
  },
})
