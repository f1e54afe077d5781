// XEP-0220: server dialback, its elements; XEP-0185: its keys

import { createHash, createHmac } from 'node:crypto'
import type { Element } from '../element.ts'
import { Jid } from '../jid.ts'
import { NS } from '../namespaces.ts'
import { escapeAttribute, escapeText } from '../serialise.ts'
import { StanzaError } from '../stanza-error.ts'

/** A key to be believed (`result`) or to be looked at (`verify`), or what became of one. */
export interface Dialback {
  readonly name: 'result' | 'verify'
  /** Domains, prepared. */
  readonly from: string
  readonly to: string
  /** Of `verify`: the id of the stream that the key is for. */
  readonly id: string | undefined
  /** Undefined: this is a question. */
  readonly type: 'valid' | 'invalid' | 'error' | undefined
  /** Of a question. */
  readonly key: string
  /** Of type `error`. */
  readonly error: StanzaError | undefined
}

/** Keys are hex digits with us; others may make them otherwise, but not long. */
const MAX_KEY = 1024

/** Reads an element in the namespace of dialback; undefined for what is none, or has no proper addresses. */
export function readDialback(element: Element): Dialback | undefined {
  const { name } = element
  if (element.xmlns !== NS.dialback || (name !== 'result' && name !== 'verify')) return undefined
  const from = domainOf(element.get('from'))
  const to = domainOf(element.get('to'))
  const type = element.get('type')
  const id = element.get('id')
  if (from === undefined || to === undefined || (name === 'verify' && (id === undefined || id === ''))) return undefined
  if (type !== undefined && type !== 'valid' && type !== 'invalid' && type !== 'error') return undefined
  const key = element.text()
  if (key.length > MAX_KEY || (type === undefined && key === '')) return undefined
  const error = type === 'error' ? element.elements.find((child) => child.name === 'error') : undefined
  return { name, from, to, id, type, key, error: error && StanzaError.from(error) }
}

function domainOf(text: string | undefined): string | undefined {
  const jid = text === undefined ? undefined : Jid.tryParse(text)
  return jid === undefined || jid.local !== '' || jid.isFull ? undefined : jid.domain
}

/** The element as text, with the prefix `db:` that the stream header declares: old servers look for it. */
export function dialbackXml(dialback: {
  readonly name: 'result' | 'verify'
  readonly from: string
  readonly to: string
  readonly id?: string | undefined
  readonly type?: 'valid' | 'invalid' | 'error'
  readonly key?: string
  readonly error?: StanzaError
}): string {
  const { name, key, error } = dialback
  let head = `<db:${name}`
  for (const attribute of ['from', 'to', 'id', 'type'] as const) {
    const value = dialback[attribute]
    if (value !== undefined) head += ` ${attribute}='${escapeAttribute(value)}'`
  }
  // XEP-0220 §2.5 has the error in the content namespace of the stream.
  const content = key !== undefined ? escapeText(key) : error === undefined ? '' : error.toElement().toString(NS.server)
  return content === '' ? `${head}/>` : `${head}>${content}</db:${name}>`
}

/**
 * XEP-0185 §3: the key that only we can make, and make again, for a stream of ours to another server. `secret`: at least 16 random octets.
 * @returns hex digits
 */
export function dialbackKey(secret: Uint8Array, receiving: string, originating: string, streamId: string): string {
  const key = createHash('sha256').update(secret).digest('hex')
  return createHmac('sha256', key).update(`${receiving} ${originating} ${streamId}`).digest('hex')
}
