// RFC 6120 §4.7: stream headers

import type { Element } from '../element.ts'
import { NS } from '../namespaces.ts'
import { escapeAttribute } from '../serialise.ts'
import { StreamError } from '../stream-error.ts'

export interface HeaderAttributes {
  readonly namespace: string
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly id?: string | undefined
  readonly lang?: string | undefined
  /** Declares the prefix `db`, as server dialback needs it (XEP-0220). */
  readonly dialback?: boolean | undefined
  /** False: that of before XMPP 1.0, without a version. */
  readonly version?: false
}

/** The stream header as it goes over the wire, with the XML declaration. */
export function streamHeader(attributes: HeaderAttributes): string {
  const attribute = (name: string, value: string | undefined): string =>
    value === undefined ? '' : ` ${name}='${escapeAttribute(value)}'`
  return (
    "<?xml version='1.0'?><stream:stream" +
    attribute('xmlns', attributes.namespace) +
    attribute('xmlns:stream', NS.streams) +
    attribute('xmlns:db', attributes.dialback === true ? NS.dialback : undefined) +
    attribute('id', attributes.id) +
    attribute('from', attributes.from) +
    attribute('to', attributes.to) +
    attribute('version', attributes.version === false ? undefined : '1.0') +
    attribute('xml:lang', attributes.lang) +
    '>'
  )
}

/** A header must open a stream whose content is in `namespace` (RFC 6120 §4.8). @throws StreamError invalid-namespace or bad-format */
export function checkHeader(header: Element, contentNamespace: string, namespace: string): void {
  if (header.xmlns !== NS.streams) throw new StreamError('invalid-namespace', 'the stream namespace is unknown')
  if (contentNamespace !== namespace) throw new StreamError('invalid-namespace', `${namespace} is spoken here`)
  if (header.name !== 'stream') throw new StreamError('bad-format', 'stream header expected')
}

/** RFC 6120 §4.7.5: the major number decides; without one the stream is of before XMPP 1.0. */
export function isVersionSupported(header: Element): boolean {
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(header.get('version') ?? '0.9')
  return match !== null && Number(match[1]) >= 1
}
