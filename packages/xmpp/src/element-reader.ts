// Reading one complete element: strict XML 1.0 with namespaces, restricted as RFC 6120 §11 asks
// (no DTD, processing instruction, comment, or entity other than the five predefined).

import { BANG, CR, EQUALS, GT, LF, LT, QUESTION, SLASH, SPACE, TAB } from './characters.ts'
import { Attributes, Element, type Node } from './element.ts'
import { Lexer } from './lexer.ts'
import { NS } from './namespaces.ts'
import { malformed, StreamError } from './stream-error.ts'

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

/** Where nothing is declared. */
export const NO_CONTEXT: NamespaceContext = { xmlns: '', bindings: [] }

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
  readonly #lexer: Lexer
  readonly #limits: ReaderLimits
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
    this.#lexer = new Lexer(source)
    this.#limits = limits
    this.#bindings = context.bindings
    this.#inherited = this.#bindings.length
    this.#xmlns = context.xmlns
  }

  header(): { element: Element; context: NamespaceContext } {
    const lexer = this.#lexer
    const element = this.startTag([], undefined)
    if (lexer.at !== lexer.source.length) throw malformed('content behind the start tag')
    if (this.#empty) throw malformed('the stream is closed in its header')
    return { element, context: { xmlns: this.#xmlns, bindings: this.#bindings } }
  }

  element(): Element {
    const lexer = this.#lexer
    const s = lexer.source
    const end = s.length
    const bindings = this.#bindings
    const content: Node[] = []
    const root = this.startTag(content, undefined)
    this.#inherited = this.#bindings.length
    this.#selfContained = this.#xmlns === root.xmlns
    const contentStart = lexer.at
    let contentEnd = contentStart
    let open = this.#empty ? undefined : this.open(content, bindings, undefined)
    while (open !== undefined) {
      const children: Node[] = open.children
      if (s.charCodeAt(lexer.at) !== LT) children.push(lexer.text(children))
      if (lexer.at >= end) throw malformed('unfinished element')
      const next = s.charCodeAt(lexer.at + 1)
      if (next === SLASH) {
        contentEnd = lexer.at
        lexer.endTag(open.nameStart, open.nameEnd)
        this.#bindings = open.outerBindings
        open = open.parent
        if (open !== undefined) this.#xmlns = open.xmlns
      } else if (next === BANG) lexer.characterData(children)
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
    if (lexer.at !== end) throw malformed('content behind the element')
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
    const lexer = this.#lexer
    const s = lexer.source
    let i = lexer.at
    if (s.charCodeAt(i) !== LT) throw malformed('start tag expected')
    i++
    const nameStart = i
    i = lexer.scanName(i)
    const nameEnd = i
    const colon = lexer.colon
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
      i = lexer.scanName(i)
      const name = s.slice(from, i)
      if (lexer.colon >= 0) prefixed = true
      code = s.charCodeAt(i)
      while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
      if (code !== EQUALS) throw malformed('attribute without a value')
      code = s.charCodeAt(++i)
      while (code === SPACE || code === LF || code === TAB || code === CR) code = s.charCodeAt(++i)
      lexer.at = i
      const value = lexer.attributeValue(code)
      i = lexer.at
      if (name === 'xmlns' || (lexer.colon >= 0 && name.startsWith('xmlns:'))) declares = true
      if (attributes === undefined) attributes = [name, value]
      else {
        for (let at = 0; at < attributes.length; at += 2)
          if (attributes[at] === name) throw malformed('duplicate attribute')
        if (attributes.length >= this.#limits.attributes * 2)
          throw new StreamError('policy-violation', 'too many attributes')
        attributes.push(name, value)
      }
    }
    lexer.at = i
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
}
