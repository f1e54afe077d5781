// RFC 9051 §6.3.9, RFC 5258 §6: the arguments of LIST.

import { bad, no } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { parseEntryName } from './metadata-entries.ts'
import { parseStatusItems, type StatusItem } from './status.ts'

/** Characters of all patterns of one LIST: matching takes time by them, for every name there is. */
const PATTERN_LENGTH = 8192
/** Entries that LIST-METADATA asks of every mailbox. */
const ENTRIES = 100

export interface ListArguments {
  /** The client speaks LIST-EXTENDED: it knows \NonExistent and extended data items. */
  readonly extended: boolean
  readonly select: { readonly subscribed: boolean; readonly specialUse: boolean; readonly recursive: boolean }
  /** Reference and pattern joined, in NFC. */
  readonly patterns: readonly string[]
  /** `LIST "" ""`: only the separator is asked for. */
  readonly root: boolean
  readonly returns: {
    readonly subscribed: boolean
    readonly status: readonly StatusItem[] | undefined
    /** RFC 8440 */
    readonly myRights: boolean
    /** RFC 9590: names of annotations. */
    readonly metadata: readonly string[] | undefined
  }
}

export function parseList(parser: Parser): ListArguments {
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
      // There are no mailboxes of other servers to add (RFC 9051 §6.3.9.1).
      else if (option !== 'REMOTE') throw bad(`LIST does not know the selection option ${option.slice(0, 40)}`)
    })
    if (select.recursive && !select.subscribed && !select.specialUse)
      throw bad('RECURSIVEMATCH needs another selection option beside it')
    parser.space()
  }
  const reference = parser.listMailbox()
  parser.space()
  let given: string[]
  if (parser.atList) {
    extended = true
    given = parser.list(() => parser.listMailbox())
    if (given.length > parser.limits.listPatterns)
      throw no(`LIST takes at most ${parser.limits.listPatterns} patterns`, 'LIMIT')
  } else {
    given = [parser.listMailbox()]
  }
  let returns: ListArguments['returns'] = {
    subscribed: false,
    status: undefined,
    myRights: false,
    metadata: undefined,
  }
  if (parser.trySpace()) {
    extended = true
    if (parser.word() !== 'RETURN') throw bad('Behind the patterns of LIST only RETURN (...) is known')
    parser.space()
    returns = parseReturns(parser)
  }
  // RFC 5258 §3: only in the basic form an empty name asks for the separator; else it matches nothing.
  const root = !extended && given[0] === ''
  const patterns = [...new Set(given)]
    .filter((pattern) => pattern !== '')
    .map((pattern) => (reference + pattern).normalize('NFC'))
  let length = 0
  for (const pattern of patterns) length += pattern.length
  if (length > PATTERN_LENGTH) throw no('The patterns of LIST are too long', 'LIMIT')
  return {
    extended,
    select,
    patterns,
    root,
    returns: { ...returns, subscribed: returns.subscribed || select.subscribed },
  }
}

function parseReturns(parser: Parser): ListArguments['returns'] {
  let subscribed = false
  let status: StatusItem[] | undefined
  let myRights = false
  let metadata: string[] | undefined
  parser.list(() => {
    const option = parser.word()
    switch (option) {
      case 'SUBSCRIBED':
        subscribed = true
        break
      case 'STATUS':
        parser.space()
        status = parseStatusItems(parser)
        break
      case 'MYRIGHTS':
        myRights = true
        break
      case 'METADATA':
        parser.space()
        metadata = parser.list(() => parseEntryName(parser))
        if (metadata.length === 0) throw bad('RETURN (METADATA ...) needs at least one entry')
        if (metadata.length > ENTRIES) throw no(`LIST asks for ${ENTRIES} entries at most`, 'LIMIT')
        break
      // Told without being asked for.
      case 'CHILDREN':
      case 'SPECIAL-USE':
        break
      default:
        throw bad(`LIST does not know the return option ${option.slice(0, 40)}`)
    }
  })
  return { subscribed, status, myRights, metadata }
}
