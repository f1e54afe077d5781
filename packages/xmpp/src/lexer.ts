// The words of XML 1.0 (fifth edition): names, text, attribute values. What they mean is the element reader's business.

import {
  TAB,
  LF,
  CR,
  SPACE,
  QUOTE,
  AMP,
  APOS,
  COLON,
  LT,
  GT,
  BRACKET,
  NAME_START,
  NAME,
  NOTABLE,
  CLASS,
  isNameStart,
  isNameExtra,
} from './characters.ts'
import type { Node } from './element.ts'
import { referenceEnd, referred } from './references.ts'
import { malformed, StreamError } from './stream-error.ts'

/** From this source length on, values are cut loose from it: a kept address must not keep a whole large stanza in memory. */
const DETACH_FROM = 2048
/** V8 copies shorter slices anyway. */
const SLICE_FROM = 13

/** A place in a source that moves on with what is read. What is wrong there is thrown as a StreamError: not-well-formed, or restricted-xml. */
export class Lexer {
  readonly source: string
  /** The current place. */
  at = 0
  /** Where the colon of the name stands that was scanned last; -1 for none. */
  colon = -1

  constructor(source: string) {
    this.source = source
  }

  /** The end of the qualified name at `i`; leaves the place of its colon, or -1. Namespaces in XML 1.0 §4: at most one, with a name on both sides. */
  scanName(i: number): number {
    const s = this.source
    this.colon = -1
    let expectStart = true
    for (;;) {
      const code = s.charCodeAt(i)
      if (code < 128) {
        const kind = CLASS[code] as number
        if (expectStart ? (kind & NAME_START) !== 0 : (kind & NAME) !== 0) {
          expectStart = false
          i++
          continue
        }
        if (code === COLON && !expectStart && this.colon < 0) {
          this.colon = i
          expectStart = true
          i++
          continue
        }
        break
      }
      if (!(code >= 128)) break
      const point = s.codePointAt(i) as number
      if (!(expectStart ? isNameStart(point) : isNameStart(point) || isNameExtra(point))) break
      expectStart = false
      i += point > 0xffff ? 2 : 1
    }
    if (expectStart) throw malformed('name expected')
    return i
  }

  /** Reads an end tag, whose name must be the one that stands between those two places. */
  endTag(nameStart: number, nameEnd: number): void {
    const s = this.source
    let i = this.at + 2
    for (let at = nameStart; at < nameEnd; at++, i++) {
      if (s.charCodeAt(i) !== s.charCodeAt(at)) throw malformed('the end tag does not match')
    }
    let code = s.charCodeAt(i)
    while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
    if (code !== GT) throw malformed('the end tag does not match')
    this.at = i + 1
  }

  /** Reads character data up to the next tag; joins it to text that a CDATA section left before it. */
  text(children: Node[]): string {
    const s = this.source
    let from = this.at
    let i = from
    let out = ''
    for (;;) {
      const code = s.charCodeAt(i)
      if (code < 128) {
        if (((CLASS[code] as number) & NOTABLE) === 0) {
          i++
          continue
        }
        if (code === LT) break
        if (code === AMP) {
          const end = referenceEnd(s, i)
          out += s.slice(from, i) + referred(s.slice(i + 1, end))
          from = i = end + 1
          continue
        }
        if (code === BRACKET && s.startsWith(']]>', i)) throw malformed("']]>' in text")
        if (code === CR) {
          out += s.slice(from, i) + '\n'
          i += s.charCodeAt(i + 1) === LF ? 2 : 1
          from = i
          continue
        }
        if (code < SPACE && code !== LF && code !== TAB) throw malformed('forbidden character')
        i++
        continue
      }
      if (Number.isNaN(code)) break
      if (code >= 0xfffe) throw malformed('forbidden character')
      i++
    }
    this.at = i
    const text = out + this.cut(from, i)
    const last = children.at(-1)
    if (typeof last !== 'string') return text
    children.pop()
    return last + text
  }

  /** Reads `<![CDATA[...]]>`; every other `<!` is refused (RFC 6120 §11.1). */
  characterData(children: Node[]): void {
    const s = this.source
    if (!s.startsWith('<![CDATA[', this.at)) throw new StreamError('restricted-xml', 'comment or declaration')
    const from = this.at + 9
    const to = s.indexOf(']]>', from)
    if (to < 0) throw malformed('unfinished CDATA section')
    const text = s.slice(from, to)
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if ((code < SPACE && code !== LF && code !== TAB && code !== CR) || code >= 0xfffe)
        throw malformed('forbidden character')
    }
    this.at = to + 3
    if (text === '') return
    const line = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
    const last = children.at(-1)
    if (typeof last === 'string') children[children.length - 1] = last + line
    else children.push(line)
  }

  /** Reads an attribute's value, whose opening quote is `quote`, at the current place. */
  attributeValue(quote: number): string {
    if (quote !== QUOTE && quote !== APOS) throw malformed('attribute value without quotes')
    const s = this.source
    let i = this.at + 1
    let from = i
    let out = ''
    for (;;) {
      const code = s.charCodeAt(i)
      if (code < 128) {
        if (((CLASS[code] as number) & NOTABLE) === 0) {
          i++
          continue
        }
        if (code === quote) break
        if (code === AMP) {
          const end = referenceEnd(s, i)
          out += s.slice(from, i) + referred(s.slice(i + 1, end))
          from = i = end + 1
          continue
        }
        if (code === LT) throw malformed("'<' in an attribute value")
        if (code < SPACE) {
          // XML 1.0 §3.3.3: white space becomes spaces, after line ends were normalised.
          if (code !== LF && code !== TAB && code !== CR) throw malformed('forbidden character')
          out += s.slice(from, i) + ' '
          i += code === CR && s.charCodeAt(i + 1) === LF ? 2 : 1
          from = i
          continue
        }
        i++
        continue
      }
      if (Number.isNaN(code)) throw malformed('unfinished attribute value')
      if (code >= 0xfffe) throw malformed('forbidden character')
      i++
    }
    this.at = i + 1
    return out === '' ? this.cut(from, i) : out + this.cut(from, i)
  }

  /** What stands between two places, cut loose from the source where that is large. */
  cut(from: number, to: number): string {
    const part = this.source.slice(from, to)
    return this.source.length >= DETACH_FROM && part.length >= SLICE_FROM ? detached(part) : part
  }
}

/** A copy that shares no memory with the string it was cut from. */
function detached(part: string): string {
  return Buffer.from(part).toString()
}
