// RFC 9051 §7.5.2 FETCH, with the items of RFC 3516, 7162, 8474, 8514, 8970 and Gmail's.

import { parseDateTime } from '../../wire/dates.ts'
import { readBodyStructure } from './body-structure.ts'
import { headerText, isList, readEnvelope } from './envelope.ts'
import { ResponseFault, type Scanner, type Tree } from './scanner.ts'
import type { MessageData } from './types.ts'

/** Old names of sections (RFC 3501 §6.4.5). */
const OLD_NAMES: Readonly<Record<string, string>> = { RFC822: '', 'RFC822.HEADER': 'HEADER', 'RFC822.TEXT': 'TEXT' }

interface Draft extends MessageData {
  readonly sections: Map<string, Buffer>
  readonly binary: Map<string, Buffer>
  readonly binarySizes: Map<string, number>
  readonly leftOut: string[]
  readonly items: Set<string>
}

/** Reads `(item value ...)`. */
export function readFetch(scanner: Scanner): MessageData {
  const draft: Draft = {
    sections: new Map(),
    binary: new Map(),
    binarySizes: new Map(),
    leftOut: [],
    items: new Set(),
  }
  scanner.list(() => item(scanner, draft))
  return draft
}

function item(scanner: Scanner, draft: Draft): void {
  const name = scanner.upTo(' [()').toUpperCase()
  if (name === '') throw new ResponseFault('the name of an item is missing')
  if (scanner.peek() === '[') {
    section(scanner, draft, name)
    return
  }
  scanner.space()
  const old = OLD_NAMES[name]
  if (old !== undefined) {
    keep(scanner, draft, draft.sections, old, `BODY[${old}]`)
    return
  }
  draft.items.add(name)
  value(scanner, draft, name)
}

function value(scanner: Scanner, draft: Draft, name: string): void {
  switch (name) {
    case 'UID':
      return assign(draft, 'uid', scanner.number())
    case 'RFC822.SIZE':
      return assign(draft, 'size', scanner.number())
    case 'FLAGS':
      draft.flags = scanner.list(() => scanner.atom())
      return
    case 'MODSEQ':
      return assign(draft, 'modseq', scanner.list(() => scanner.number())[0])
    case 'INTERNALDATE':
      return assign(draft, 'internalDate', date(scanner))
    case 'SAVEDATE':
      return assign(draft, 'saveDate', date(scanner))
    case 'ENVELOPE':
      return assign(draft, 'envelope', sensible(scanner, readEnvelope))
    case 'BODYSTRUCTURE':
    case 'BODY':
      return assign(draft, 'bodyStructure', sensible(scanner, readBodyStructure))
    case 'EMAILID':
      return assign(draft, 'emailId', id(scanner.tree()))
    case 'THREADID':
      return assign(draft, 'threadId', id(scanner.tree()))
    case 'PREVIEW':
      return assign(draft, 'preview', scanner.nstring()?.toString('utf8'))
    case 'X-GM-MSGID':
      draft.gmail = { ...draft.gmail, messageId: scanner.atom() }
      return
    case 'X-GM-THRID':
      draft.gmail = { ...draft.gmail, threadId: scanner.atom() }
      return
    case 'X-GM-LABELS':
      draft.gmail = { ...draft.gmail, labels: scanner.list(() => headerText(scanner.astring())) }
      return
    default:
      // An item of an extension that this client does not know: its value, whatever it is, is read over.
      scanner.tree()
  }
}

/** Assigns what is there: an absent value leaves no field behind. */
function assign<K extends keyof Draft>(draft: Draft, key: K, value: Draft[K] | undefined): void {
  if (value !== undefined) draft[key] = value
}

const id = (tree: Tree): string | undefined => {
  const one = isList(tree) ? tree[0] : tree
  return typeof one === 'string' ? one : Buffer.isBuffer(one) ? one.toString('latin1') : undefined
}

function date(scanner: Scanner): number | undefined {
  const text = scanner.nstring()?.toString('latin1')
  if (text === undefined) return undefined
  const time = parseDateTime(/^\d-/.test(text) ? ` ${text}` : text)
  if (time === undefined) scanner.note('unreadable-date')
  return time?.time
}

/** Takes the value as it stands first, so that one without sense does not cost the rest of the response. */
function sensible<T>(scanner: Scanner, read: (tree: Tree, note: Scanner['note']) => T): T | undefined {
  const tree = scanner.tree()
  if (tree === undefined) return undefined
  try {
    return read(tree, scanner.note)
  } catch (error) {
    if (!(error instanceof ResponseFault)) throw error
    scanner.note('unreadable-item')
    return undefined
  }
}

/** `BODY[HEADER.FIELDS ("Subject")]<0> value` and the two of BINARY. */
function section(scanner: Scanner, draft: Draft, name: string): void {
  const key = sectionName(scanner)
  if (scanner.take('<')) {
    scanner.upTo('>')
    scanner.expect('>')
  }
  scanner.space()
  if (name === 'BINARY.SIZE') {
    draft.items.add(`BINARY.SIZE[${key}]`)
    const size = scanner.number()
    if (size !== undefined) draft.binarySizes.set(key, size)
    return
  }
  keep(scanner, draft, name === 'BINARY' ? draft.binary : draft.sections, key, `${name}[${key}]`)
}

/** The section in one spelling: capitals, no quotes, single spaces. */
function sectionName(scanner: Scanner): string {
  scanner.expect('[')
  let key = scanner.upTo(']( ')
  if (scanner.peek() !== ']') {
    scanner.space()
    key += ` (${scanner.list(() => scanner.astring().toString('latin1')).join(' ')})`
  }
  scanner.expect(']')
  return key.toUpperCase()
}

function keep(scanner: Scanner, draft: Draft, into: Map<string, Buffer>, key: string, item: string): void {
  draft.items.add(item)
  scanner.take('~')
  if (scanner.atLiteral) {
    const literal = scanner.literal()
    if (literal.fate === 'kept') into.set(key, literal.octets)
    else if (literal.fate === 'left-out') draft.leftOut.push(item)
    return
  }
  const octets = scanner.nstring()
  if (octets !== undefined) into.set(key, octets)
}
