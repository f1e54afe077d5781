// Reading one complete element: strict XML 1.0 with namespaces, restricted as RFC 6120 §11 asks
// (no DTD, processing instruction, comment, or entity other than the five predefined).

import {
  TAB,
  LF,
  CR,
  SPACE,
  QUOTE,
  AMP,
  APOS,
  SLASH,
  COLON,
  LT,
  QUESTION,
  BANG,
  EQUALS,
  GT,
  BRACKET,
  NAME_START,
  NAME,
  NOTABLE,
  CLASS,
  isNameStart,
  isNameExtra,
} from './characters.ts'
import { Attributes, Element, type Node } from './element.ts'
import { NS } from './namespaces.ts'
import { StreamError } from './stream-error.ts'

/** The namespaces in force at a place. */
export interface NamespaceContext {
  /** The default namespace; '' for none. */
  readonly xmlns: string
  /** prefix, namespace, prefix, namespace ... */
  readonly bindings: readonly string[]
}

export interface ReaderLimits {
  /** How deep elements may be nested; the element itself counts as 1. */
  readonly depth: number
  /** Attributes of one element, namespace declarations included. */
  readonly attributes: number
  /** Prefixes bound at one place. */
  readonly prefixes: number
}

export const NO_CONTEXT: NamespaceContext = { xmlns: '', bindings: [] }

/** From this source length on, values are cut loose from it: a kept address must not keep a whole large stanza in memory. */
const DETACH_FROM = 2048
/** V8 copies shorter slices anyway. */
const SLICE_FROM = 13

const malformed = (text: string): StreamError => new StreamError('not-well-formed', text)

/**
 * Reads `source`, which must be exactly one element, in the given namespace context.
 * The element's `raw` is set where its content may be forwarded verbatim.
 * @throws StreamError not-well-formed, restricted-xml, bad-namespace-prefix or policy-violation (a limit)
 */
export function readElement(source: string, context: NamespaceContext, limits: ReaderLimits): Element {
  return new Reader(source, context, limits).element()
}

/**
 * Reads a start tag alone (a stream header): `source` must be exactly one start tag.
 * @returns the element without content, and the namespaces in force within it
 * @throws StreamError as `readElement`
 */
export function readStartTag(source: string, limits: ReaderLimits): { element: Element; context: NamespaceContext } {
  return new Reader(source, NO_CONTEXT, limits).header()
}

/** An element whose end tag has not come yet. */
interface Open {
  readonly children: Node[]
  /** Where its qualified name stands in the source. */
  readonly nameStart: number
  readonly nameEnd: number
  /** The default namespace within it. */
  readonly xmlns: string
  /** The bindings in force around it. */
  readonly outerBindings: readonly string[]
  readonly depth: number
  readonly parent: Open | undefined
}

class Reader {
  readonly #s: string
  readonly #limits: ReaderLimits
  #i = 0
  #bindings: readonly string[]
  /** How many of the bindings the content may not rely upon when it is forwarded verbatim. */
  #inherited: number
  #selfContained = true
  /** Left by `startTag`. */
  #xmlns: string
  #empty = false
  #nameStart = 0
  #nameEnd = 0

  constructor(source: string, context: NamespaceContext, limits: ReaderLimits) {
    this.#s = source
    this.#limits = limits
    this.#bindings = context.bindings
    this.#inherited = this.#bindings.length
    this.#xmlns = context.xmlns
  }

  header(): { element: Element; context: NamespaceContext } {
    const element = this.startTag([], undefined)
    if (this.#i !== this.#s.length) throw malformed('content behind the start tag')
    if (this.#empty) throw malformed('the stream is closed in its header')
    return { element, context: { xmlns: this.#xmlns, bindings: this.#bindings } }
  }

  element(): Element {
    const s = this.#s
    const end = s.length
    const bindings = this.#bindings
    const content: Node[] = []
    const root = this.startTag(content, undefined)
    this.#inherited = this.#bindings.length
    this.#selfContained = this.#xmlns === root.xmlns
    const contentStart = this.#i
    let contentEnd = contentStart
    let open = this.#empty ? undefined : this.open(content, bindings, undefined)
    while (open !== undefined) {
      const children: Node[] = open.children
      if (s.charCodeAt(this.#i) !== LT) children.push(this.text(children))
      if (this.#i >= end) throw malformed('unfinished element')
      const next = s.charCodeAt(this.#i + 1)
      if (next === SLASH) {
        contentEnd = this.#i
        this.endTag(open.nameStart, open.nameEnd)
        this.#bindings = open.outerBindings
        open = open.parent
        if (open !== undefined) this.#xmlns = open.xmlns
      } else if (next === BANG) this.characterData(children)
      else if (next === QUESTION) throw new StreamError('restricted-xml', 'processing instruction')
      else {
        if (open.depth >= this.#limits.depth) {
          throw new StreamError('policy-violation', 'elements are nested too deeply')
        }
        const outer = this.#bindings
        const within: Node[] = []
        children.push(this.startTag(within, this.#inherited))
        if (this.#empty) {
          this.#bindings = outer
          this.#xmlns = open.xmlns
        } else open = this.open(within, outer, open)
      }
    }
    if (this.#i !== end) throw malformed('content behind the element')
    if (!this.#selfContained) return root
    return new Element(root.name, root.xmlns, root.attrs, content, s.slice(contentStart, contentEnd))
  }

  /** The element whose start tag was read, as the innermost open one. */
  open(children: Node[], outerBindings: readonly string[], parent: Open | undefined): Open {
    return {
      children,
      nameStart: this.#nameStart,
      nameEnd: this.#nameEnd,
      xmlns: this.#xmlns,
      outerBindings,
      depth: parent === undefined ? 1 : parent.depth + 1,
      parent,
    }
  }

  /** Reads `<name attribute='value' ...>` at the current place. `own` is where the bindings of the content begin; undefined for the outermost element. */
  startTag(children: Node[], own: number | undefined): Element {
    const s = this.#s
    let i = this.#i
    if (s.charCodeAt(i) !== LT) throw malformed('start tag expected')
    i++
    const nameStart = i
    i = this.scanName(i)
    const nameEnd = i
    const colon = this.#colon
    let attributes: string[] | undefined
    let declares = false
    let prefixed = false
    this.#empty = false
    for (;;) {
      let code = s.charCodeAt(i)
      if (code === GT) {
        i++
        break
      }
      if (code === SLASH) {
        if (s.charCodeAt(i + 1) !== GT) throw malformed('stray slash in a tag')
        this.#empty = true
        i += 2
        break
      }
      const gap = i
      while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
      if (gap === i) throw malformed('space expected in a tag')
      if (code === GT || code === SLASH) continue
      const from = i
      i = this.scanName(i)
      const name = s.slice(from, i)
      if (this.#colon >= 0) prefixed = true
      code = s.charCodeAt(i)
      while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
      if (code !== EQUALS) throw malformed('attribute without a value')
      code = s.charCodeAt(++i)
      while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
      this.#i = i
      const value = this.attributeValue(code)
      i = this.#i
      if (name === 'xmlns' || (this.#colon >= 0 && name.startsWith('xmlns:'))) declares = true
      if (attributes === undefined) attributes = [name, value]
      else {
        for (let at = 0; at < attributes.length; at += 2)
          if (attributes[at] === name) throw malformed('duplicate attribute')
        if (attributes.length >= this.#limits.attributes * 2)
          throw new StreamError('policy-violation', 'too many attributes')
        attributes.push(name, value)
      }
    }
    this.#i = i
    this.#nameStart = nameStart
    this.#nameEnd = nameEnd
    if (declares && attributes !== undefined) attributes = this.declare(attributes)
    if (prefixed && attributes !== undefined) this.expand(attributes, own)
    const xmlns = colon < 0 ? this.#xmlns : this.lookUp(s.slice(nameStart, colon), own)
    return new Element(
      s.slice(colon < 0 ? nameStart : colon + 1, nameEnd),
      xmlns,
      attributes === undefined || attributes.length === 0 ? Attributes.none : new Attributes(attributes),
      children,
    )
  }

  #colon = -1

  /** The end of the qualified name at `i`; leaves the place of its colon, or -1. Namespaces in XML 1.0 §4: at most one, with a name on both sides. */
  scanName(i: number): number {
    const s = this.#s
    this.#colon = -1
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
        if (code === COLON && !expectStart && this.#colon < 0) {
          this.#colon = i
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

  endTag(nameStart: number, nameEnd: number): void {
    const s = this.#s
    let i = this.#i + 2
    for (let at = nameStart; at < nameEnd; at++, i++) {
      if (s.charCodeAt(i) !== s.charCodeAt(at)) throw malformed('the end tag does not match')
    }
    let code = s.charCodeAt(i)
    while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
    if (code !== GT) throw malformed('the end tag does not match')
    this.#i = i + 1
  }

  /** Reads character data up to the next tag; joins it to text that a CDATA section left before it. */
  text(children: Node[]): string {
    const s = this.#s
    let from = this.#i
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
          out += s.slice(from, i)
          this.#i = i
          out += this.reference()
          from = i = this.#i
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
    this.#i = i
    const text = out + this.cut(from, i)
    const last = children.at(-1)
    if (typeof last !== 'string') return text
    children.pop()
    return last + text
  }

  /** Reads `<![CDATA[...]]>`; every other `<!` is refused (RFC 6120 §11.1). */
  characterData(children: Node[]): void {
    const s = this.#s
    if (!s.startsWith('<![CDATA[', this.#i)) throw new StreamError('restricted-xml', 'comment or declaration')
    const from = this.#i + 9
    const to = s.indexOf(']]>', from)
    if (to < 0) throw malformed('unfinished CDATA section')
    const text = s.slice(from, to)
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if ((code < SPACE && code !== LF && code !== TAB && code !== CR) || code >= 0xfffe)
        throw malformed('forbidden character')
    }
    this.#i = to + 3
    if (text === '') return
    const line = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
    const last = children.at(-1)
    if (typeof last === 'string') children[children.length - 1] = last + line
    else children.push(line)
  }

  attributeValue(quote: number): string {
    if (quote !== QUOTE && quote !== APOS) throw malformed('attribute value without quotes')
    const s = this.#s
    let i = this.#i + 1
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
          out += s.slice(from, i)
          this.#i = i
          out += this.reference()
          from = i = this.#i
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
    this.#i = i + 1
    return out === '' ? this.cut(from, i) : out + this.cut(from, i)
  }

  /** Reads a character or entity reference. */
  reference(): string {
    const s = this.#s
    const end = s.indexOf(';', this.#i)
    // The longest that can be meant, with a few leading zeros; the bound also keeps a row of lone '&' linear.
    if (end < 0 || end - this.#i > 16) throw malformed('unfinished reference')
    const name = s.slice(this.#i + 1, end)
    this.#i = end + 1
    switch (name) {
      case 'amp':
        return '&'
      case 'lt':
        return '<'
      case 'gt':
        return '>'
      case 'quot':
        return '"'
      case 'apos':
        return "'"
      default: {
        if (!/^#(?:[0-9]+|x[0-9a-fA-F]+)$/.test(name)) {
          throw /^[\p{L}_:][\p{L}\p{N}\p{M}_:.-]*$/u.test(name)
            ? new StreamError('restricted-xml', 'entity reference')
            : malformed('bad reference')
        }
        const point = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10)
        const allowed =
          point === TAB ||
          point === LF ||
          point === CR ||
          (point >= 0x20 && point < 0xd800) ||
          (point >= 0xe000 && point < 0xfffe) ||
          (point >= 0x10000 && point <= 0x10ffff)
        if (!allowed) throw malformed('reference to a forbidden character')
        return String.fromCodePoint(point)
      }
    }
  }

  /** Takes the namespace declarations out of the attributes and puts them in force. */
  declare(attributes: string[]): string[] {
    const plain: string[] = []
    let bindings: string[] | undefined
    for (let at = 0; at < attributes.length; at += 2) {
      const name = attributes[at] as string
      const value = attributes[at + 1] as string
      if (name === 'xmlns') {
        if (value === NS.xml || value === NS.xmlns) throw new StreamError('bad-namespace-prefix', 'reserved namespace')
        this.#xmlns = value
      } else if (name.startsWith('xmlns:')) {
        const prefix = name.slice(6)
        const reserved = prefix === 'xmlns' || value === NS.xmlns || (prefix === 'xml') !== (value === NS.xml)
        if (reserved || value === '') throw new StreamError('bad-namespace-prefix', 'this prefix cannot be bound so')
        if (prefix === 'xml') continue
        bindings ??= this.#bindings.slice()
        if (bindings.length >= this.#limits.prefixes * 2)
          throw new StreamError('policy-violation', 'too many namespace prefixes')
        bindings.push(prefix, value)
      } else plain.push(name, value)
    }
    if (bindings !== undefined) this.#bindings = bindings
    return plain
  }

  /** Resolves the prefixes of attribute names; two that mean the same are a duplicate (Namespaces in XML 1.0 §6.3). */
  expand(attributes: string[], own: number | undefined): void {
    for (let at = 0; at < attributes.length; at += 2) {
      const name = attributes[at] as string
      const colon = name.indexOf(':')
      if (colon < 0) continue
      const prefix = name.slice(0, colon)
      if (prefix === 'xml') continue
      const expanded = `{${this.lookUp(prefix, own)}}${name.slice(colon + 1)}`
      for (let other = 0; other < at; other += 2)
        if (attributes[other] === expanded) throw malformed('duplicate attribute')
      attributes[at] = expanded
    }
  }

  lookUp(prefix: string, own: number | undefined): string {
    const bindings = this.#bindings
    for (let at = bindings.length - 2; at >= 0; at -= 2) {
      if (bindings[at] !== prefix) continue
      if (own !== undefined && at < own) this.#selfContained = false
      return bindings[at + 1] as string
    }
    if (prefix === 'xml') return NS.xml
    throw new StreamError('bad-namespace-prefix', 'unbound prefix')
  }

  cut(from: number, to: number): string {
    const part = this.#s.slice(from, to)
    return this.#s.length >= DETACH_FROM && part.length >= SLICE_FROM ? detached(part) : part
  }
}

/** A copy that shares no memory with the string it was cut from. */
function detached(part: string): string {
  return Buffer.from(part).toString()
}
