// RFC 9051 §6.3.9 LIST, with LIST-EXTENDED (RFC 5258), CHILDREN (RFC 3348), SPECIAL-USE (RFC 6154) and LIST-STATUS (RFC 5819)

import type { MailboxEntry } from '../backend.ts'
import { BackendError } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { matchesPattern } from '../server/list-pattern.ts'
import { astring } from '../wire/encode.ts'
import { bad } from '../wire/errors.ts'
import { encodeMutf7 } from '../wire/mailbox-name.ts'
import type { Parser } from '../wire/parser.ts'
import { parseStatusItems, type StatusItem, writeStatus } from './status.ts'

interface ListArguments {
  /** The client speaks LIST-EXTENDED: it knows \NonExistent and CHILDINFO. */
  readonly extended: boolean
  readonly select: { readonly subscribed: boolean; readonly specialUse: boolean; readonly recursive: boolean }
  readonly patterns: readonly string[]
  /** `LIST "" ""`: only the separator is asked for. */
  readonly root: boolean
  readonly returns: { readonly subscribed: boolean; readonly status: readonly StatusItem[] | undefined }
}

function parse(parser: Parser): ListArguments {
  let extended = false
  const select = { subscribed: false, specialUse: false, recursive: false }
  parser.space()
  if (parser.atList) {
    extended = true
    parser.list(() => {
      const option = parser.word()
      if (option === 'SUBSCRIBED') select.subscribed = true
      else if (option === 'SPECIAL-USE') select.specialUse = true
      else if (option === 'RECURSIVEMATCH') select.recursive = true
      else if (option !== 'REMOTE') throw bad(`LIST does not know the selection option ${option.slice(0, 40)}`)
    })
    if (select.recursive && !select.subscribed && !select.specialUse)
      throw bad('RECURSIVEMATCH needs another selection option beside it')
    parser.space()
  }
  const reference = parser.listMailbox()
  parser.space()
  let patterns: string[]
  if (parser.atList) {
    extended = true
    patterns = parser.list(() => parser.listMailbox())
    if (patterns.length > 100) throw bad('LIST takes at most 100 patterns')
  } else {
    patterns = [parser.listMailbox()]
  }
  const returns: { subscribed: boolean; status: StatusItem[] | undefined } = {
    subscribed: select.subscribed,
    status: undefined,
  }
  if (parser.trySpace()) {
    extended = true
    if (parser.word() !== 'RETURN') throw bad('Behind the patterns of LIST only RETURN (...) is known')
    parser.space()
    parser.list(() => {
      const option = parser.word()
      if (option === 'SUBSCRIBED') returns.subscribed = true
      else if (option === 'STATUS') {
        parser.space()
        returns.status = parseStatusItems(parser)
      } else if (option !== 'CHILDREN' && option !== 'SPECIAL-USE')
        throw bad(`LIST does not know the return option ${option.slice(0, 40)}`)
    })
  }
  const root = patterns.length === 1 && patterns[0] === '' && !select.subscribed && !select.specialUse
  return {
    extended,
    select,
    patterns: patterns.map((pattern) => (reference + pattern).normalize('NFC')),
    root,
    returns,
  }
}

export const list = defineCommand({
  name: 'LIST',
  state: 'authenticated',
  parse,
  async execute(session, { extended, select, patterns, root, returns }) {
    const { out } = session
    if (root) {
      out.untagged('LIST (\\Noselect) "/" ""')
      return
    }
    const entries = await session.account.list()
    const parents = existingParents(entries)
    const selected = (entry: MailboxEntry): boolean =>
      (!select.subscribed || entry.subscribed) && (!select.specialUse || specialUse(entry) !== undefined)
    const matches = (name: string): boolean => patterns.some((pattern) => matchesPattern(pattern, name))
    // Above these is something that was selected but that no pattern matches.
    const above = new Set<string>()
    if (select.recursive) {
      for (const entry of entries)
        if (selected(entry) && !matches(entry.name)) for (const parent of parentsOf(entry.name)) above.add(parent)
    }
    const listed = new Set(entries.map((entry) => entry.name))
    const unlisted = [...above]
      .filter((name) => !listed.has(name))
      .map((name) => ({ id: '', name, role: undefined, subscribed: false, selectable: false }))

    for (const entry of [...entries, ...unlisted]) {
      if (session.winded) await session.breathe()
      const exists = entry.selectable || parents.has(entry.name)
      const child = above.has(entry.name)
      if (!((selected(entry) && (exists || select.subscribed)) || child) || !matches(entry.name)) continue
      const attributes: string[] = []
      if (!entry.selectable) attributes.push(extended ? '\\NonExistent' : '\\Noselect')
      attributes.push(parents.has(entry.name) ? '\\HasChildren' : '\\HasNoChildren')
      if (returns.subscribed && entry.subscribed) attributes.push('\\Subscribed')
      const use = specialUse(entry)
      if (use !== undefined) attributes.push(`\\${use}`)
      const childInfo = child ? ` ("CHILDINFO" (${select.subscribed ? '"SUBSCRIBED"' : '"SPECIAL-USE"'}))` : ''
      out.untagged(`LIST (${attributes.join(' ')}) "/" ${astring(encodeMutf7(entry.name))}${childInfo}`)
      if (returns.status === undefined || !entry.selectable) continue
      try {
        await writeStatus(session, entry.name, returns.status)
      } catch (error) {
        // Deleted in this very moment: the LIST line alone is a right answer (RFC 5819 §2).
        if (!(error instanceof BackendError)) throw error
      }
    }
  },
})

const specialUse = (entry: MailboxEntry): string | undefined => (entry.role === 'Inbox' ? undefined : entry.role)

/** `a/b/c` → `a`, `a/b`. */
export function parentsOf(name: string): string[] {
  const out: string[] = []
  for (let at = name.indexOf('/'); at > 0; at = name.indexOf('/', at + 1)) out.push(name.slice(0, at))
  return out
}

/** Names that something existing stands below. */
function existingParents(entries: readonly MailboxEntry[]): Set<string> {
  const parents = new Set<string>()
  for (const entry of entries) if (entry.selectable) for (const parent of parentsOf(entry.name)) parents.add(parent)
  return parents
}
