// Elements: immutable, namespace-resolved XML trees, and the builder for them.

import { NS } from './namespaces.ts'
import { serialise, serialiseContent } from './serialise.ts'

/** What an element contains: elements and text. */
export type Node = Element | string

/** Attribute values as the builder takes them; `undefined` leaves the attribute out (or removes it). */
export type AttributeValues = Readonly<Record<string, string | number | undefined>>

/** What the builder takes as a child: absent ones are skipped, so that `condition && el(...)` reads well. */
export type Child = Node | false | null | undefined | readonly Child[]

/**
 * The attributes of an element, in their order. A name is the plain local name, 'xml:lang' and its like,
 * or '{namespace}name' for any other prefixed attribute. Namespace declarations are not attributes.
 */
export class Attributes implements Iterable<[string, string]> {
  static readonly none = new Attributes([])

  /** Name, value, name, value ...: flat, because a scan of a few strings beats every map at this size and `__proto__` is just a name. */
  readonly pairs: readonly string[]

  constructor(pairs: readonly string[]) {
    this.pairs = pairs
  }

  /** Attributes with these values; `undefined` is none, and `xmlns` no attribute. */
  static of(values: AttributeValues): Attributes {
    const pairs: string[] = []
    for (const name of Object.keys(values)) {
      const value = values[name]
      if (value !== undefined && name !== 'xmlns') pairs.push(name, String(value))
    }
    return pairs.length === 0 ? Attributes.none : new Attributes(pairs)
  }

  /** How many there are. */
  get size(): number {
    return this.pairs.length / 2
  }

  /** The value; undefined where there is no such attribute. */
  get(name: string): string | undefined {
    const pairs = this.pairs
    for (let index = 0; index < pairs.length; index += 2) if (pairs[index] === name) return pairs[index + 1]
    return undefined
  }

  /** True where there is such an attribute. */
  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** A copy with these values set; `undefined` removes. */
  with(values: AttributeValues): Attributes {
    const pairs = this.pairs.slice()
    for (const name of Object.keys(values)) {
      if (name === 'xmlns') continue
      const value = values[name]
      let at = 0
      while (at < pairs.length && pairs[at] !== name) at += 2
      if (value !== undefined) {
        pairs[at] = name
        pairs[at + 1] = String(value)
      } else if (at < pairs.length) pairs.splice(at, 2)
    }
    return new Attributes(pairs)
  }

  *[Symbol.iterator](): Iterator<[string, string]> {
    for (let index = 0; index < this.pairs.length; index += 2)
      yield [this.pairs[index] as string, this.pairs[index + 1] as string]
  }
}

const NO_CHILDREN: readonly Node[] = Object.freeze([])

/** An XML element. Never changed after it is built: every `with...` returns another one that shares what stayed the same. */
export class Element {
  readonly name: string
  /** The resolved namespace; '' means: that of the element it will be put into. */
  readonly xmlns: string
  readonly attrs: Attributes
  readonly children: readonly Node[]
  /**
   * The content as XML text that may be forwarded verbatim: it is well-formed, and depends on nothing outside but on `xmlns` being the default namespace.
   * The stream parser sets it on stanzas; `prepared()` does for built elements.
   */
  readonly raw: string | undefined

  constructor(name: string, xmlns: string, attrs: Attributes, children: readonly Node[] = NO_CHILDREN, raw?: string) {
    this.name = name
    this.xmlns = xmlns
    this.attrs = attrs
    this.children = children
    this.raw = raw
  }

  /** The value of an attribute. */
  get(name: string): string | undefined {
    return this.attrs.get(name)
  }

  /** True for that name in that namespace. */
  is(name: string, xmlns: string): boolean {
    return this.name === name && this.xmlns === xmlns
  }

  /** The first child element of that name, in the element's own namespace if none is given. */
  child(name: string, xmlns: string = this.xmlns): Element | undefined {
    for (const child of this.children) {
      if (typeof child !== 'string' && child.name === name && child.xmlns === xmlns) return child
    }
    return undefined
  }

  /** All child elements of that name, in the element's own namespace if none is given. */
  childrenNamed(name: string, xmlns: string = this.xmlns): Element[] {
    return this.elements.filter((child) => child.name === name && child.xmlns === xmlns)
  }

  /** The child elements, without the text between them. */
  get elements(): Element[] {
    return this.children.filter((child) => typeof child !== 'string')
  }

  /** The first child that is an element. */
  get firstElement(): Element | undefined {
    return this.children.find((child) => typeof child !== 'string')
  }

  /** The text directly in this element. */
  text(): string {
    let text = ''
    for (const child of this.children) if (typeof child === 'string') text += child
    return text
  }

  /** The text of the first child of that name, or undefined where there is no such child. */
  childText(name: string, xmlns: string = this.xmlns): string | undefined {
    return this.child(name, xmlns)?.text()
  }

  /** A copy with these attributes set (`undefined` removes); content, and its ready-made text, are shared. */
  with(values: AttributeValues): Element {
    return new Element(this.name, this.xmlns, this.attrs.with(values), this.children, this.raw)
  }

  /** A copy with more children at the end. Where the content's text is known, only the new children are serialised. */
  append(...children: Child[]): Element {
    const added: Node[] = []
    adopt(children, this.xmlns, added)
    let raw = this.raw
    if (raw !== undefined) for (const child of added) raw += serialiseContentNode(child, this.xmlns)
    return new Element(this.name, this.xmlns, this.attrs, [...this.children, ...added], raw)
  }

  /** A copy with other content. */
  withChildren(...children: Child[]): Element {
    const nodes: Node[] = []
    adopt(children, this.xmlns, nodes)
    return new Element(this.name, this.xmlns, this.attrs, nodes)
  }

  /** A copy without the child elements that match; the same element if none does, so that its ready-made text stays. */
  without(matches: (child: Element) => boolean): Element {
    const kept = this.children.filter((child) => typeof child === 'string' || !matches(child))
    return kept.length === this.children.length ? this : new Element(this.name, this.xmlns, this.attrs, kept)
  }

  /**
   * The same stanza in another content namespace (RFC 6120 §4.8.3): from 'jabber:client' to 'jabber:server' and back.
   * Only the element and those of its descendants that carry the namespace down from it are changed.
   */
  inNamespace(xmlns: string): Element {
    if (xmlns === this.xmlns) return this
    // Verbatim text follows the default namespace by itself, unless it names the old one somewhere.
    const raw = this.raw?.includes(this.xmlns) ? undefined : this.raw
    const from = this.xmlns
    const children = this.children.map((child) =>
      typeof child !== 'string' && child.xmlns === from ? child.inNamespace(xmlns) : child,
    )
    return new Element(this.name, xmlns, this.attrs, children, raw)
  }

  /** The same element with its content serialised once: copies made by `with()` for many recipients share the text. */
  prepared(): Element {
    if (this.raw !== undefined || this.xmlns === '') return this
    return new Element(this.name, this.xmlns, this.attrs, this.children, serialiseContent(this, this.xmlns))
  }

  /** XML text, for a place where `context` is the default namespace. */
  toString(context = ''): string {
    return serialise(this, context)
  }
}

function serialiseContentNode(node: Node, context: string): string {
  return serialiseContent(new Element('', context, Attributes.none, [node]), context)
}

/**
 * Builds an element: `el('iq', { type: 'get', id: 'p1' }, el('ping', { xmlns: 'urn:xmpp:ping' }))`.
 * `xmlns` among the attributes is the namespace. Without it, message, presence and iq are 'jabber:client'; any other element takes that of its parent.
 */
export function el(name: string, attrs: AttributeValues = {}, ...children: Child[]): Element {
  const given = attrs.xmlns
  const xmlns =
    given !== undefined ? String(given) : name === 'message' || name === 'presence' || name === 'iq' ? NS.client : ''
  if (children.length === 0) return new Element(name, xmlns, Attributes.of(attrs))
  const nodes: Node[] = []
  adopt(children, xmlns, nodes)
  return new Element(name, xmlns, Attributes.of(attrs), nodes)
}

/** Flattens what the builder was given, and lets children without a namespace take their parent's. */
function adopt(children: readonly Child[], xmlns: string, into: Node[]): void {
  for (const child of children) {
    if (child === undefined || child === null || child === false || child === '') continue
    if (typeof child === 'string') into.push(child)
    else if (child instanceof Element) into.push(child.xmlns === '' && xmlns !== '' ? settled(child, xmlns) : child)
    else adopt(child, xmlns, into)
  }
}

function settled(element: Element, xmlns: string): Element {
  const children = element.children.map((child) =>
    typeof child !== 'string' && child.xmlns === '' ? settled(child, xmlns) : child,
  )
  return new Element(element.name, xmlns, element.attrs, children)
}
