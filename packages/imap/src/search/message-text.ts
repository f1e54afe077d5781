// What a text search looks at: decoded headers and bodies, in one case.

import { decodeText, decodeWords, Headers, parseStructure, type Part, visibleText } from '@aviso/mime'
import type { TextQuery } from '../backend.ts'
import { fold } from './fold.ts'

/** A header, decoded where it is looked at. */
export class HeaderText {
  readonly #headers: Headers
  #all: string | undefined

  constructor(header: Uint8Array) {
    this.#headers = Headers.parse(header)
  }

  /** Folded bodies of all fields of that name. */
  values(name: string): string[] {
    return this.#headers.all(name).map((value) => fold(decodeWords(value)))
  }

  /** The value of the first field of that name; undefined for none. */
  first(name: string): string | undefined {
    return this.#headers.get(name)
  }

  /** The whole header, unfolded and decoded, one field in a line. */
  get all(): string {
    this.#all ??= wholeHeader(this.#headers)
    return this.#all
  }
}

function wholeHeader(headers: Headers): string {
  let text = ''
  for (const [name, value] of headers.entries()) if (name !== '') text += `${name}: ${decodeWords(value)}\n`
  return fold(text)
}

/**
 * The folded texts that BODY looks at, one after the other; nothing is found across two of them: text parts decoded (of HTML what a person sees), reports in
 * message parts, and the headers of parts and of messages inside. Not the header of the message itself.
 */
export function* bodyTexts(bytes: Uint8Array, root: Part = parseStructure(bytes)): Generator<string> {
  yield* textsOf(root, bytes, false)
}

function* textsOf(part: Part, bytes: Uint8Array, withHeader: boolean): Generator<string> {
  if (withHeader) yield wholeHeader(Headers.parse(bytes, part.headerStart, part.bodyStart))
  for (const child of part.children) yield* textsOf(child, bytes, true)
  if (part.message !== undefined) {
    yield* textsOf(part.message, bytes, true)
    return
  }
  // An empty multipart, and what claims to be no text, has no text to search. Delivery reports and their like (RFC 6522) are text.
  const type = part.type.toLowerCase()
  if (type !== 'text' && type !== 'message') return
  const text = decodeText(part, bytes)
  yield fold(type === 'text' && part.subtype.toLowerCase() === 'html' ? visibleText(text) : text)
}

/** True when the needle (folded) is in the body: in a text part, the header of a part, or a message inside. Nothing (an empty needle) is in every body. */
export function bodyContains(bytes: Uint8Array, needle: string): boolean {
  if (needle === '') return true
  for (const text of bodyTexts(bytes)) if (text.includes(needle)) return true
  return false
}

/** True when a message matches: the one definition of text search, which every store's shortcut must equal. */
export function matchesText(query: TextQuery, bytes: Uint8Array): boolean {
  const needle = fold(query.text)
  if (query.kind === 'body') return bodyContains(bytes, needle)
  const header = new HeaderText(bytes.subarray(0, parseStructure(bytes).bodyStart))
  if (query.kind === 'header') return header.values(query.name).some((value) => value.includes(needle))
  return header.all.includes(needle) || bodyContains(bytes, needle)
}
