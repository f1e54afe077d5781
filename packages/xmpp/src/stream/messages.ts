// RFC 7395: a stream whose elements travel as messages of their own, each with its namespaces

import { el, type Element } from '../element.ts'
import { NO_CONTEXT, readElement } from '../element-reader.ts'
import { NS } from '../namespaces.ts'
import { escapeAttribute } from '../serialise.ts'
import { StreamError } from '../stream-error.ts'
import type { ParserLimits } from '../stream-parser.ts'
import type { HeaderAttributes } from './header.ts'

/** What closes the stream. */
export const CLOSE_MESSAGE = `<close xmlns='${NS.framing}'/>`

const STREAM_END = Buffer.from('</stream:stream>')

/** What opens the stream, in place of a header. */
export const openMessage = ({ from, to, id, lang }: HeaderAttributes): string =>
  el('open', { xmlns: NS.framing, from, to, id, version: '1.0', 'xml:lang': lang }).toString()

/** XML text that was made for a place within a stream, as it stands alone. */
export function asMessage(xml: string): string {
  if (xml.startsWith('<stream:')) return declared(xml, ` xmlns:stream='${NS.streams}'`)
  if (/^<(?:message|presence|iq)(?! xmlns=)[ />]/.test(xml)) return declared(xml, ` xmlns='${NS.client}'`)
  return xml
}

function declared(xml: string, declaration: string): string {
  const at = xml.search(/[ />]/)
  return xml.slice(0, at) + declaration + xml.slice(at)
}

/**
 * A message as it stands within a stream. `opening`: only `<open/>` may come.
 * @throws StreamError
 */
export function fromMessage(message: Uint8Array, opening: boolean, limits: ParserLimits): Uint8Array {
  if (message.length > limits.stanzaBytes) throw new StreamError('policy-violation', 'stanza is too big')
  const octets = Buffer.from(message.buffer, message.byteOffset, message.byteLength)
  const start = octets.toString('latin1', 0, 8)
  // §3.3.3: it begins with `<`, and is no declaration, comment or part of a stream of the other kind.
  if (!/^<[^/!?]/.test(start) || (start === '<stream:' && octets.toString('latin1', 8, 14) === 'stream'))
    throw new StreamError('bad-format', 'each message is one element')
  if (/^<open[\s/>]/.test(start)) {
    const open = readElement(octets.toString(), NO_CONTEXT, limits)
    if (!opening || !open.is('open', NS.framing)) throw new StreamError('bad-format', '<open/> is out of place')
    return Buffer.from(header(open))
  }
  if (/^<close[\s/>]/.test(start) && readElement(octets.toString(), NO_CONTEXT, limits).is('close', NS.framing))
    return STREAM_END
  if (opening) throw new StreamError('bad-format', '<open/> was expected')
  return message
}

/** The header that an `<open/>` stands for. */
function header(open: Element): string {
  const wanted = ['to', 'from', 'id', 'version', 'xml:lang']
  const pairs = wanted.flatMap((name) => {
    const value = open.get(name)
    return value === undefined ? [] : ` ${name}='${escapeAttribute(value)}'`
  })
  return `<stream:stream xmlns='${NS.client}' xmlns:stream='${NS.streams}'${pairs.join('')}>`
}
