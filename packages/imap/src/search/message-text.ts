// What a text search looks at: decoded headers and bodies, in one case.

import { decodeText, decodeWords, Headers, parseStructure, type Part } from '@aviso/mime'
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
  const names = new Set<string>()
  let text = ''
  for (const { name } of headers.fields()) {
    const key = name.toLowerCase()
    if (name === '' || names.has(key)) continue
    names.add(key)
    for (const value of headers.all(name)) text += `${name}: ${decodeWords(value)}\n`
  }
  return fold(text)
}

/** True when the needle (folded) is in the body: in a text part, the header of a part, or a message inside. */
export function bodyContains(bytes: Uint8Array, needle: string): boolean {
  return someText(parseStructure(bytes), bytes, false, (text) => text.includes(needle))
}

/** All texts of the body that `bodyContains` looks at, folded. */
export function bodyTexts(bytes: Uint8Array): string[] {
  const texts: string[] = []
  someText(parseStructure(bytes), bytes, false, (text) => texts.push(text) === 0)
  return texts
}

function someText(part: Part, bytes: Uint8Array, withHeader: boolean, test: (text: string) => boolean): boolean {
  if (withHeader && test(wholeHeader(Headers.parse(bytes, part.headerStart, part.bodyStart)))) return true
  for (const child of part.children) if (someText(child, bytes, true, test)) return true
  if (part.message !== undefined) return someText(part.message, bytes, true, test)
  // An empty multipart, and what claims to be no text, has no text to search.
  const type = part.type.toLowerCase()
  return type === 'text' && test(fold(decodeText(part, bytes)))
}

/** True when a message matches: the one definition of text search, which every store's shortcut must equal. */
export function matchesText(query: TextQuery, bytes: Uint8Array): boolean {
  const needle = fold(query.text)
  if (query.kind === 'body') return bodyContains(bytes, needle)
  const header = new HeaderText(bytes.subarray(0, parseStructure(bytes).bodyStart))
  if (query.kind === 'header') return header.values(query.name).some((value) => value.includes(needle))
  return header.all.includes(needle) || bodyContains(bytes, needle)
}
