// RFC 9051 §7.5.2 BODYSTRUCTURE and BODY, as a tree of parts with the numbers under which they are fetched.

import { parseContentType } from '@aviso/mime'
import { isList, readEnvelope, text, type Envelope } from './envelope.ts'
import type { Quirk } from './quirks.ts'
import { readNumber, ResponseFault, type Tree } from './scanner.ts'

/** A part of a message as BODYSTRUCTURE tells of it (RFC 9051 §7.5.2). */
export interface BodyPart {
  /** Part number for BODY[...]: `1`, `2.1`; '' for a multipart that is the whole message. */
  readonly section: string
  /** In lower case: `text/plain`, `multipart/mixed`. */
  readonly type: string
  /** Name in lower case → value, decoded (RFC 2231). */
  readonly parameters: ReadonlyMap<string, string>
  readonly disposition: Disposition | undefined
  readonly languages: readonly string[]
  readonly location: string | undefined
  /** The parts of a multipart; the one structure inside a message/rfc822. */
  readonly children: readonly BodyPart[]
  /** The rest is undefined, or 0, for multiparts. */
  readonly id: string | undefined
  readonly description: string | undefined
  /** In lower case. */
  readonly encoding: string | undefined
  /** Octets, as transferred. */
  readonly size: number
  /** Of text and message/rfc822. */
  readonly lines: number | undefined
  readonly md5: string | undefined
  /** Of message/rfc822. */
  readonly envelope: Envelope | undefined
}

/** Content-Disposition of a part (RFC 2183). */
export interface Disposition {
  /** In lower case. */
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
}

type Note = (quirk: Quirk) => void

/** Throws `ResponseFault` when it is none. */
export function readBodyStructure(tree: Tree, note: Note): BodyPart {
  return part(tree, '', note)
}

/** `prefix`: section of what holds this, '' at the top. */
function part(tree: Tree, prefix: string, note: Note): BodyPart {
  if (!isList(tree)) throw new ResponseFault('a part is a list')
  const parts = tree.findIndex((one) => !isList(one))
  if (parts > 0) return multipart(tree, parts, prefix, note)
  if (tree.length < 2 || isList(tree[1])) {
    note('multipart-without-parts')
    return multipart(tree, 0, prefix, note)
  }
  return single(tree, prefix === '' ? '1' : prefix, note)
}

function multipart(tree: readonly Tree[], parts: number, section: string, note: Note): BodyPart {
  const below = section === '' ? '' : `${section}.`
  return {
    section,
    type: `multipart/${(text(tree[parts], note) ?? 'mixed').toLowerCase()}`,
    children: tree.slice(0, parts).map((child, i) => part(child, `${below}${i + 1}`, note)),
    parameters: parameters(tree[parts + 1], note),
    disposition: disposition(tree[parts + 2], note),
    languages: languages(tree[parts + 3], note),
    location: text(tree[parts + 4], note),
    id: undefined,
    description: undefined,
    encoding: undefined,
    size: 0,
    lines: undefined,
    md5: undefined,
    envelope: undefined,
  }
}

function single(tree: readonly Tree[], section: string, note: Note): BodyPart {
  if (tree.length < 7) note('body-fields-missing')
  const type = `${text(tree[0], note) ?? 'application'}/${text(tree[1], note) ?? 'octet-stream'}`.toLowerCase()
  let at = 7
  let inside: Pick<BodyPart, 'envelope' | 'children' | 'lines'> = {
    envelope: undefined,
    children: [],
    lines: undefined,
  }
  if (type === 'message/rfc822' || type === 'message/global') {
    // With an envelope the list goes on with two lists; without one with md5 (a string) or disposition.
    if (isList(tree[7]) && isList(tree[8])) {
      inside = {
        envelope: readEnvelope(tree[7], note),
        children: [encapsulated(tree[8], section, note)],
        lines: readNumber(tree[9], note),
      }
      at = 10
    } else note('rfc822-without-envelope')
  } else if (type.startsWith('text/') && tree.length > 7) {
    if (isNumber(tree[7])) {
      inside = { ...inside, lines: readNumber(tree[7], note) }
      at = 8
    } else note('text-without-lines')
  }
  return {
    section,
    type,
    ...inside,
    parameters: parameters(tree[2], note),
    id: text(tree[3], note),
    description: text(tree[4], note),
    encoding: text(tree[5], note)?.toLowerCase(),
    size: tree.length < 7 ? 0 : (readNumber(tree[6], note) ?? 0),
    md5: text(tree[at], note),
    disposition: disposition(tree[at + 1], note),
    languages: languages(tree[at + 2], note),
    location: text(tree[at + 3], note),
  }
}

/** RFC 9051 §6.4.5.1: parts of the message in part 2 are 2.1, 2.2 ...; when it has one part only, that is 2.1. */
function encapsulated(tree: Tree, section: string, note: Note): BodyPart {
  const multi = isList(tree) && (isList(tree[0]) || tree.length < 2 || isList(tree[1]))
  return part(tree, multi ? section : `${section}.1`, note)
}

function isNumber(tree: Tree): boolean {
  if (Buffer.isBuffer(tree)) return /^-?\d+$/.test(tree.toString('latin1'))
  return typeof tree === 'string' && /^-?\d+$/.test(tree)
}

function parameters(tree: Tree, note: Note): ReadonlyMap<string, string> {
  if (tree === undefined) return new Map()
  if (!isList(tree)) throw new ResponseFault('parameters are a list')
  if (tree.length % 2 === 1) note('parameters-odd')
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < tree.length; i += 2) {
    const name = text(tree[i], note)
    if (name !== undefined) pairs.push([name.toLowerCase(), text(tree[i + 1], note) ?? ''])
  }
  if (!pairs.some(([name, value]) => name.includes('*') || value.includes('=?'))) return new Map(pairs)
  // Continuations, charsets and the encoded-words that should not be there: as in the field itself.
  const field = pairs.map(([name, value]) => `; ${name}=${name.endsWith('*') ? value : quoted(value)}`).join('')
  const read = parseContentType(`a/b${field}`)?.parameters ?? pairs
  return new Map(read.map(([name, value]) => [name.toLowerCase(), value]))
}

const quoted = (value: string): string => `"${value.replace(/["\\]/g, '\\$&')}"`

function disposition(tree: Tree, note: Note): Disposition | undefined {
  if (tree === undefined) return undefined
  if (!isList(tree)) {
    note('disposition-string')
    return { type: (text(tree, note) ?? '').toLowerCase(), parameters: new Map() }
  }
  const type = text(tree[0], note)
  return type === undefined ? undefined : { type: type.toLowerCase(), parameters: parameters(tree[1], note) }
}

function languages(tree: Tree, note: Note): readonly string[] {
  if (tree === undefined) return []
  return (isList(tree) ? tree : [tree]).flatMap((one) => text(one, note) ?? [])
}
