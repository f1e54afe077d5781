// RFC 9051 §7.3: what is told of mailboxes: LIST, STATUS, NAMESPACE, QUOTA.

import { decodeMutf7, encodeMutf7 } from '../../wire/mailbox-name.ts'
import { isList, text } from './envelope.ts'
import { readNumber, ResponseFault, type Scanner, type Tree } from './scanner.ts'
import type { ListResponse, MailboxStatusResponse, NamespaceEntry, QuotaResource, UntaggedResponse } from './types.ts'

/** A name from its octets. `utf8`: the server sends names in UTF-8 (UTF8=ACCEPT or IMAP4rev2 was enabled). */
export function readName(octets: Buffer, utf8: boolean, note: Scanner['note']): { name: string; encoded: string } {
  const encoded = octets.toString('latin1')
  const name = utf8 ? octets.toString('utf8') : decodeMutf7(encoded)
  if (name === undefined) {
    note('name-not-utf7')
    return { name: octets.toString('utf8'), encoded }
  }
  if (!utf8 && encodeMutf7(name) !== encoded) note('name-not-utf7')
  // RFC 9051 §5.1: INBOX in any case is INBOX.
  return { name: /^inbox$/i.test(name) ? 'INBOX' : name, encoded }
}

export function readList(scanner: Scanner, command: ListResponse['command'], utf8: boolean): ListResponse {
  const attributes = scanner.list(() => scanner.atom())
  scanner.space()
  const delimiter = text(scanner.tree())
  scanner.space()
  const named = readName(mailbox(scanner), utf8, scanner.note)
  let childInfo: readonly string[] = []
  let oldName: string | undefined
  if (scanner.more()) {
    for (const [tag, value] of pairs(scanner.list(() => scanner.tree()))) {
      if (/^childinfo$/i.test(text(tag) ?? '')) childInfo = isList(value) ? value.flatMap((one) => text(one) ?? []) : []
      if (/^oldname$/i.test(text(tag) ?? '')) {
        const one = isList(value) ? value[0] : value
        oldName = readName(Buffer.from(text(one) ?? '', 'utf8'), utf8, scanner.note).name
      }
    }
  }
  return {
    kind: 'list',
    command,
    attributes,
    delimiter: delimiter === '' ? undefined : delimiter,
    ...named,
    childInfo,
    oldName,
  }
}

/** A name at the end of a line; some servers send those with spaces without quotes. */
function mailbox(scanner: Scanner): Buffer {
  const first = scanner.astring()
  const ahead = scanner.ahead('("')
  if (ahead.trim() === '') return first
  scanner.upTo('("')
  scanner.note('string-as-atom')
  return Buffer.from(first.toString('latin1') + ahead.trimEnd(), 'latin1')
}

function pairs(list: readonly Tree[]): [Tree, Tree][] {
  return Array.from({ length: list.length >> 1 }, (_, i) => [list[2 * i], list[2 * i + 1]])
}

export function readStatus(scanner: Scanner, utf8: boolean): MailboxStatusResponse {
  const { name } = readName(scanner.astring(), utf8, scanner.note)
  scanner.space()
  const numbers = new Map<string, number>()
  let mailboxId: string | undefined
  for (const [item, value] of pairs(scanner.list(() => scanner.tree()))) {
    const key = (text(item) ?? '').toUpperCase()
    if (key === 'MAILBOXID') mailboxId = text(isList(value) ? value[0] : value)
    // NIL is an answer (RFC 7889 APPENDLIMIT: no limit).
    else if (value !== undefined && !isList(value)) {
      const number = readNumber(value, scanner.note)
      if (number !== undefined) numbers.set(key, number)
    }
  }
  return { kind: 'mailbox-status', name, numbers, mailboxId }
}

export function readNamespace(scanner: Scanner, utf8: boolean): UntaggedResponse {
  const entries = (): NamespaceEntry[] => {
    const tree = scanner.tree()
    if (tree === undefined) return []
    if (!isList(tree)) throw new ResponseFault('a namespace is a list')
    return tree.map((entry) => {
      if (!isList(entry)) throw new ResponseFault('a namespace is a list')
      const prefix = Buffer.from(text(entry[0]) ?? '', utf8 ? 'utf8' : 'latin1')
      return { prefix: readName(prefix, utf8, scanner.note).name, delimiter: text(entry[1]) }
    })
  }
  const personal = entries()
  scanner.space()
  const others = entries()
  scanner.space()
  return { kind: 'namespace', personal, others, shared: entries() }
}

export function readQuota(scanner: Scanner): UntaggedResponse {
  const root = scanner.astring().toString('utf8')
  scanner.space()
  const tree = scanner.list(() => scanner.tree())
  const resources: QuotaResource[] = []
  for (let i = 0; i + 2 < tree.length; i += 3) {
    const usage = readNumber(tree[i + 1], scanner.note)
    const limit = readNumber(tree[i + 2], scanner.note)
    if (usage !== undefined && limit !== undefined) {
      resources.push({ name: (text(tree[i]) ?? '').toUpperCase(), usage, limit })
    }
  }
  return { kind: 'quota', root, resources }
}

export function readQuotaRoot(scanner: Scanner, utf8: boolean): UntaggedResponse {
  const { name } = readName(scanner.astring(), utf8, scanner.note)
  const roots: string[] = []
  while (scanner.more()) roots.push(scanner.astring().toString('utf8'))
  return { kind: 'quota-root', name, roots }
}
