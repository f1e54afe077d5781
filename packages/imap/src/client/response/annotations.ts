// RFC 5464 §4.4 METADATA; RFC 4314 §3.6-3.8 ACL, LISTRIGHTS, MYRIGHTS.

import { isList, text } from './envelope.ts'
import { readName } from './mailboxes.ts'
import type { Scanner } from './scanner.ts'
import type { UntaggedResponse } from './types.ts'

type Response<K extends UntaggedResponse['kind']> = Extract<UntaggedResponse, { kind: K }>

const mailbox = (scanner: Scanner, utf8: boolean): string => readName(scanner.astring(), utf8, scanner.note).name

const words = (scanner: Scanner): string[] => {
  const all: string[] = []
  while (scanner.more()) all.push(scanner.astring().toString('utf8'))
  return all
}

/** `"INBOX" (/private/comment "text" ...)`, or the names alone of what has changed. */
export function readMetadata(scanner: Scanner, utf8: boolean): Response<'metadata'> {
  const name = mailbox(scanner, utf8)
  scanner.space()
  if (scanner.peek() !== '(')
    return {
      kind: 'metadata',
      name,
      entries: new Map(),
      changed: [scanner.astring().toString('utf8'), ...words(scanner)],
    }
  const tree = scanner.list(() => scanner.tree())
  const entries = new Map<string, Buffer | undefined>()
  for (let i = 0; i + 1 < tree.length; i += 2) {
    const value = tree[i + 1]
    if (isList(value)) continue
    entries.set(text(tree[i]) ?? '', typeof value === 'string' ? Buffer.from(value, 'latin1') : value)
  }
  return { kind: 'metadata', name, entries, changed: [] }
}

/** `INBOX anna lrswipkxtea bob lr`. */
export function readAcl(scanner: Scanner, utf8: boolean): Response<'acl'> {
  const name = mailbox(scanner, utf8)
  const all = words(scanner)
  return {
    kind: 'acl',
    name,
    rights: new Map(Array.from({ length: all.length >> 1 }, (_, i) => [all[2 * i] ?? '', all[2 * i + 1] ?? ''])),
  }
}

/** `INBOX bob "" l r s w`. */
export function readListRights(scanner: Scanner, utf8: boolean): Response<'list-rights'> {
  const name = mailbox(scanner, utf8)
  const [identifier = '', required = '', ...optional] = words(scanner)
  return { kind: 'list-rights', name, identifier, required, optional }
}

/** `INBOX lr`. */
export function readMyRights(scanner: Scanner, utf8: boolean): Response<'my-rights'> {
  const name = mailbox(scanner, utf8)
  return { kind: 'my-rights', name, rights: words(scanner)[0] ?? '' }
}
