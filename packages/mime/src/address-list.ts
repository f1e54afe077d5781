// RFC 5322 §3.4 and §4.4: the address lists of From, To, Cc ... , in all the forms that mail has had.

/** `Anna <anna@example.org>`. */
export interface Mailbox {
  readonly kind: 'mailbox'
  /** Display name, or the comment after an address of the old style; encoded-words as written. */
  readonly name?: string
  /** Local part without quotes. */
  readonly local: string
  /** As written, a domain literal with its brackets; '' when the address has none. */
  readonly domain: string
  /** Obsolete source route, `@a,@b` (RFC 5322 §4.4). */
  readonly route?: string
}

/** `Friends: anna@example.org, ben@example.org;`. */
export interface AddressGroup {
  readonly kind: 'group'
  readonly name: string
  readonly members: Mailbox[]
}

export type AddressOrGroup = Mailbox | AddressGroup

/** Reads an unfolded address list. Never throws; what is no address at all is left out. Time is linear in the text. */
export function parseAddressList(text: string): AddressOrGroup[] {
  return new AddressReader(text).list()
}

/** An atom, dot or quoted string, with whether a blank stood before it. */
interface Word {
  readonly text: string
  readonly blankBefore: boolean
}

class AddressReader {
  readonly #text: string
  #at = 0
  #blank = false
  #comment = ''
  #words: Word[] = []

  constructor(text: string) {
    this.#text = text
  }

  list(): AddressOrGroup[] {
    const found: AddressOrGroup[] = []
    let group: { kind: 'group'; name: string; members: Mailbox[] } | undefined
    const add = (mailbox: Mailbox | undefined) => {
      if (mailbox) (group ? group.members : found).push(mailbox)
    }
    for (;;) {
      this.#skip()
      const text = this.#text
      if (this.#at >= text.length) break
      const character = text.charAt(this.#at)
      if (character === ',') {
        this.#at++
        add(this.#bare())
      } else if (character === ':' && !group) {
        this.#at++
        group = { kind: 'group', name: this.#phrase(), members: [] }
        found.push(group)
      } else if (character === ';') {
        this.#at++
        add(this.#bare())
        group = undefined
      } else if (character === '<') {
        this.#at++
        add(this.#angle())
      } else if (character === '@') {
        this.#at++
        const local = this.#local()
        add(this.#finished({ local, domain: this.#domain() }))
      } else this.#word()
    }
    add(this.#bare())
    return found
  }

  /** What stands between separators without an `@`: a local part alone. */
  #bare(): Mailbox | undefined {
    const words = this.#words
    if (words.length === 0) {
      this.#comment = ''
      return undefined
    }
    return this.#finished({ local: this.#local(), domain: '' })
  }

  /** After `<`: route, address, `>`; the words before it are the name. */
  #angle(): Mailbox | undefined {
    const name = this.#phrase()
    let route = ''
    let domain = ''
    const text = this.#text
    this.#skip()
    while (text[this.#at] === '@' || text[this.#at] === ',') {
      if (text[this.#at++] === '@') route += `${route === '' ? '' : ','}@${this.#domain()}`
      this.#skip()
    }
    if (route !== '' && text[this.#at] === ':') this.#at++
    for (;;) {
      this.#skip()
      if (this.#at >= text.length) break
      const character = text.charAt(this.#at)
      if (character === '>') {
        this.#at++
        break
      }
      if (character === '@') {
        this.#at++
        domain = this.#domain()
      } else if (character === '<' || character === ',' || character === ';' || character === ':') {
        // `<a@b, c@d`: a bracket that is not closed ends at the separator; other strays inside are skipped.
        if (character === ',' || character === ';') break
        this.#at++
      } else this.#word()
    }
    const local = this.#local()
    const mailbox = local === '' && domain === '' && name === '' ? undefined : { local, domain }
    if (!mailbox) {
      this.#comment = ''
      return undefined
    }
    return this.#finished({ ...mailbox, name, route })
  }

  /** Goes on to the separator, gathering a comment for a name, and makes the mailbox. */
  #finished(seen: { local: string; domain: string; name?: string; route?: string }): Mailbox {
    const text = this.#text
    for (;;) {
      this.#skip()
      if (this.#at >= text.length || text[this.#at] === ',' || text[this.#at] === ';') break
      // Words after an address are noise, except that another `<` begins a new address where a comma was forgotten.
      if (text[this.#at] === '<') break
      if (text[this.#at] === ':' || text[this.#at] === '@') this.#at++
      else this.#word()
    }
    if (text[this.#at] === ',') this.#at++
    if (text[this.#at] !== '<') this.#words = []
    const name = seen.name || this.#comment
    this.#comment = ''
    return {
      kind: 'mailbox',
      ...(name !== '' && { name }),
      local: seen.local,
      domain: seen.domain,
      ...(seen.route !== undefined && seen.route !== '' && { route: seen.route }),
    }
  }

  #phrase(): string {
    let phrase = ''
    for (const { text, blankBefore } of this.#words) phrase += blankBefore && phrase !== '' ? ` ${text}` : text
    this.#words = []
    return phrase
  }

  /** `a . b` is an obsolete form of `a.b`; blanks without a dot are kept as one, since nothing better can be known. */
  #local(): string {
    let local = ''
    let dot = true
    for (const { text, blankBefore } of this.#words) {
      local += blankBefore && !dot && text !== '.' ? ` ${text}` : text
      dot = text === '.'
    }
    this.#words = []
    return local
  }

  #domain(): string {
    const text = this.#text
    let domain = ''
    for (;;) {
      this.#skip()
      const character = text[this.#at]
      if (character === '[') {
        const close = text.indexOf(']', this.#at)
        const end = close < 0 ? text.length : close + 1
        domain += text.slice(this.#at, end).replace(/\s+/g, '')
        this.#at = end
        return domain
      }
      if (character === '.') {
        domain += '.'
        this.#at++
        continue
      }
      if (domain !== '' && !domain.endsWith('.')) return domain
      const end = atomEnd(text, this.#at)
      if (end === this.#at) return domain
      domain += text.slice(this.#at, end)
      this.#at = end
    }
  }

  /** One atom, dot or quoted string; any other character is passed over. */
  #word(): void {
    const text = this.#text
    const blankBefore = this.#blank
    this.#blank = false
    const start = this.#at
    const character = text.charAt(start)
    if (character === '"') {
      let value = ''
      let from = start + 1
      let i = from
      for (; i < text.length && text[i] !== '"'; i++) {
        if (text[i] !== '\\' || i + 1 >= text.length) continue
        value += text.slice(from, i)
        from = ++i
      }
      value += text.slice(from, i)
      this.#at = Math.min(i + 1, text.length)
      this.#words.push({ text: value, blankBefore })
    } else if (character === '.') {
      this.#at++
      this.#words.push({ text: '.', blankBefore })
    } else {
      const end = atomEnd(text, start)
      this.#at = Math.max(end, start + 1)
      if (end > start) this.#words.push({ text: text.slice(start, end), blankBefore })
    }
  }

  /** Passes white space and comments; the last comment is kept, it may be a name. */
  #skip(): void {
    const text = this.#text
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (code === 0x20 || (code >= 0x09 && code <= 0x0d)) {
        this.#at++
        this.#blank = true
      } else if (code === 0x28) {
        this.#comment = this.#readComment()
        this.#blank = true
      } else return
    }
  }

  #readComment(): string {
    const text = this.#text
    const start = this.#at + 1
    let depth = 0
    let escaped = false
    for (; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at)
      if (code === 0x5c) {
        escaped = true
        this.#at++
      } else if (code === 0x28) depth++
      else if (code === 0x29 && --depth === 0) break
    }
    const inner = text.slice(start, this.#at)
    this.#at = Math.min(this.#at + 1, text.length)
    return (escaped ? inner.replace(/\\(.)/g, '$1') : inner).replace(/\s+/g, ' ').trim()
  }
}

/** The end of an atom: at white space or one of the specials of RFC 5322 §3.2.3. */
function atomEnd(text: string, at: number): number {
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code <= 0x20) return at
    switch (code) {
      case 0x28: // (
      case 0x29: // )
      case 0x3c: // <
      case 0x3e: // >
      case 0x5b: // [
      case 0x5d: // ]
      case 0x3a: // :
      case 0x3b: // ;
      case 0x40: // @
      case 0x5c: // \
      case 0x2c: // ,
      case 0x2e: // .
      case 0x22: // "
        return at
    }
  }
  return at
}
