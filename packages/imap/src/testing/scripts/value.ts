// The values of a response line, read from its octets (RFC 9051 §9): what scripts compare.

/** Octets are kept as latin1 text, one character an octet. */
export type Value =
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  /** A response code, `[UIDNEXT 4]`. */
  | { readonly kind: 'code'; readonly items: readonly Value[] }

/** What is read otherwise in an expectation: escapes in quoted strings (`\r`, `\n`, `\t`, `\xNN`) and `{{name}}`, the octets of a message of the script. */
export interface Reading {
  readonly message: (name: string) => string
}

/** The values of a line with its literals in it (`{3}` CRLF and 3 octets), or of an expectation where `reading` is given. Throws where it is not grammatical. */
export function readValues(line: string, reading?: Reading): Value[] {
  const reader = new Reader(line, reading)
  const values = reader.values('')
  return values
}

class Reader {
  readonly #text: string
  readonly #reading: Reading | undefined
  #at = 0

  constructor(text: string, reading: Reading | undefined) {
    this.#text = text
    this.#reading = reading
  }

  /** Values up to `end`, which is read over. */
  values(end: string): Value[] {
    const values: Value[] = []
    for (;;) {
      while (this.#text[this.#at] === ' ') this.#at++
      const next = this.#text[this.#at]
      if (next === undefined) {
        if (end === '') return values
        throw new Error(`no ${end} in ${JSON.stringify(this.#text)}`)
      }
      if (next === end) {
        this.#at++
        return values
      }
      values.push(this.#value(next))
    }
  }

  #value(next: string): Value {
    if (next === '(') {
      this.#at++
      return { kind: 'list', items: this.values(')') }
    }
    if (next === '[') {
      this.#at++
      return { kind: 'code', items: this.values(']') }
    }
    if (next === '"') return { kind: 'string', text: this.#quoted() }
    const message = this.#reading && this.#take(/\{\{([^}]+)\}\}/y)
    if (message) return { kind: 'string', text: this.#reading?.message(message[1] ?? '') ?? '' }
    const literal = this.#take(/~?\{(\d+)\}\r\n/y)
    if (literal) {
      const size = Number(literal[1])
      const text = this.#text.slice(this.#at, this.#at + size)
      this.#at += size
      return { kind: 'string', text }
    }
    return { kind: 'atom', text: this.#atom() }
  }

  #quoted(): string {
    const found = this.#take(/"((?:[^"\\]|\\.)*)"/sy)
    if (!found) throw new Error(`a quoted string without end in ${JSON.stringify(this.#text)}`)
    const inner = found[1] ?? ''
    if (this.#reading) return escapes(inner)
    return inner.replaceAll(/\\(.)/gs, '$1')
  }

  /** An atom; `BODY[HEADER.FIELDS (From To)]<0>` is one, in capitals and with single blanks. */
  #atom(): string {
    const plain = this.#take(/[^ ()[\]"]+/y)?.[0] ?? ''
    if (this.#text[this.#at] !== '[' || plain === '') {
      if (plain === '') throw new Error(`unexpected ${this.#text[this.#at]} in ${JSON.stringify(this.#text)}`)
      return plain
    }
    const section = this.#take(/\[[^\]]*\](?:<[\d.]+>)?/y)?.[0]
    if (section === undefined) throw new Error(`no ] in ${JSON.stringify(this.#text)}`)
    return `${plain}${section}`.toUpperCase().replaceAll('"', '')
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found) this.#at = pattern.lastIndex
    return found
  }
}

/** Text of a script with its escapes read: `\r`, `\n`, `\t`, `\0`, `\xNN`; any other escaped character is itself. */
export function escapes(text: string): string {
  return text.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/gis, (_all, hex: string | undefined, one: string) => {
    if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16))
    return { r: '\r', n: '\n', t: '\t', '0': '\0' }[one] ?? one
  })
}

/** A value as the wire would show it, for reports. */
export function show(value: Value): string {
  switch (value.kind) {
    case 'atom':
      return value.text
    case 'string':
      return JSON.stringify(value.text)
    case 'list':
      return `(${value.items.map(show).join(' ')})`
    case 'code':
      return `[${value.items.map(show).join(' ')}]`
  }
}
