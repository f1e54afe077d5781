// RFC 9051 §7, §9 `response`: what kind of response it is, and its reading.

import { parseNumberSet } from '../../wire/number-set.ts'
import { readAcl, readListRights, readMetadata, readMyRights } from './annotations.ts'
import { readCode } from './codes.ts'
import { readFetch } from './fetch.ts'
import { readList, readNamespace, readQuota, readQuotaRoot, readStatus } from './mailboxes.ts'
import type { Quirk } from './quirks.ts'
import type { Segments } from './reader.ts'
import { readEsearch, readSearch, readThread } from './results.ts'
import { ResponseFault, Scanner } from './scanner.ts'
import type { ImapResponse, StatusResponse, UntaggedResponse } from './types.ts'

export interface ParseContext {
  /** UTF8=ACCEPT or IMAP4rev2 is enabled: names come in UTF-8. */
  readonly utf8: boolean
  /** Called for every quirk met. */
  readonly note: (quirk: Quirk) => void
}

const STATUS = /^(OK|NO|BAD|BYE|PREAUTH)$/i

/** Never throws: what cannot be read is `unknown`. */
export function parseResponse(segments: Segments, context: ParseContext): ImapResponse {
  const { note } = context
  const scanner = new Scanner(segments, note)
  if (scanner.take('+')) {
    scanner.take(' ')
    return { kind: 'continue', text: scanner.rest() }
  }
  const tag = scanner.upTo(' ')
  scanner.take(' ')
  const name = scanner.upTo(' (').toUpperCase()
  if (STATUS.test(name)) return readStatusResponse(scanner, tag === '*' ? undefined : tag, name, note)
  if (tag !== '*') return unreadable(name, segments, note)
  try {
    return untagged(scanner, name, context) ?? { kind: 'unknown', name, text: joined(segments) }
  } catch (error) {
    if (!(error instanceof ResponseFault)) throw error
    return unreadable(name, segments, note)
  }
}

function unreadable(name: string, segments: Segments, note: ParseContext['note']): UntaggedResponse {
  note('unreadable-response')
  return { kind: 'unknown', name, text: joined(segments) }
}

const joined = (segments: Segments): string => segments.filter((segment) => typeof segment === 'string').join('')

function readStatusResponse(
  scanner: Scanner,
  tag: string | undefined,
  name: string,
  note: ParseContext['note'],
): StatusResponse {
  if (!scanner.take(' ')) note('missing-text')
  const { code, text } = readCode(scanner.rest(), note)
  return { kind: 'status', tag, status: name as StatusResponse['status'], code, text }
}

function untagged(scanner: Scanner, name: string, context: ParseContext): UntaggedResponse | undefined {
  if (/^\d+$/.test(name)) return numbered(scanner, Number(name))
  const { utf8 } = context
  switch (name) {
    case 'SEARCH':
    case 'SORT':
      return readSearch(scanner, name === 'SORT' ? 'sort' : 'search')
    case 'ESEARCH':
      return readEsearch(scanner)
    case 'THREAD':
      return readThread(scanner)
    case 'CAPABILITY':
    case 'ENABLED':
      return { kind: name === 'ENABLED' ? 'enabled' : 'capability', capabilities: words(scanner) }
  }
  if (!LISTED.has(name)) return undefined
  scanner.space()
  const response = listed(scanner, name, utf8)
  scanner.end()
  return response
}

const LISTED = new Set([
  'FLAGS',
  'LIST',
  'LSUB',
  'XLIST',
  'STATUS',
  'NAMESPACE',
  'QUOTA',
  'QUOTAROOT',
  'VANISHED',
  'ID',
  'METADATA',
  'ACL',
  'LISTRIGHTS',
  'MYRIGHTS',
])

function listed(scanner: Scanner, name: string, utf8: boolean): UntaggedResponse {
  switch (name) {
    case 'FLAGS':
      return { kind: 'flags', flags: scanner.list(() => scanner.atom()) }
    case 'STATUS':
      return readStatus(scanner, utf8)
    case 'NAMESPACE':
      return readNamespace(scanner, utf8)
    case 'QUOTA':
      return readQuota(scanner)
    case 'QUOTAROOT':
      return readQuotaRoot(scanner, utf8)
    case 'VANISHED':
      return vanished(scanner)
    case 'ID':
      return id(scanner)
    case 'METADATA':
      return readMetadata(scanner, utf8)
    case 'ACL':
      return readAcl(scanner, utf8)
    case 'LISTRIGHTS':
      return readListRights(scanner, utf8)
    case 'MYRIGHTS':
      return readMyRights(scanner, utf8)
    default:
      return readList(scanner, name as 'LIST' | 'LSUB' | 'XLIST', utf8)
  }
}

function numbered(scanner: Scanner, number: number): UntaggedResponse | undefined {
  scanner.space()
  const name = scanner.upTo(' (').toUpperCase()
  switch (name) {
    case 'EXISTS':
    case 'RECENT':
    case 'EXPUNGE':
      scanner.end()
      return { kind: name.toLowerCase() as 'exists' | 'recent' | 'expunge', number }
    case 'FETCH':
    case 'UIDFETCH': {
      scanner.space()
      const message = readFetch(scanner)
      scanner.end()
      if (name === 'UIDFETCH') message.uid = number
      return { kind: 'fetch', sequence: name === 'FETCH' ? number : undefined, message }
    }
    default:
      return undefined
  }
}

function vanished(scanner: Scanner): UntaggedResponse {
  const earlier = scanner.peek() === '('
  if (earlier) {
    scanner.list(() => scanner.atom())
    scanner.space()
  }
  const uids = parseNumberSet(scanner.atom())
  if (uids === undefined) throw new ResponseFault('a set of numbers is missing')
  return { kind: 'vanished', earlier, uids }
}

function id(scanner: Scanner): UntaggedResponse {
  if (scanner.peek() !== '(') {
    scanner.rest()
    return { kind: 'id', fields: undefined }
  }
  const strings = scanner.list(() => scanner.nstring()?.toString('utf8'))
  const fields = new Map<string, string | undefined>()
  for (let i = 0; i < strings.length; i += 2) fields.set((strings[i] ?? '').toLowerCase(), strings[i + 1])
  return { kind: 'id', fields }
}

function words(scanner: Scanner): string[] {
  const words: string[] = []
  while (scanner.more()) words.push(scanner.atom())
  return words
}
