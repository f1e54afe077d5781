// RFC 5321 §4.2: replies. RFC 2034 and RFC 3463: enhanced status codes.

/** One reply: the basic code (RFC 5321 §4.2.1), the enhanced code (`'5.1.1'`, or undefined where none belongs) and its lines of text. */
export interface SmtpReply {
  readonly code: number
  readonly enhanced: string | undefined
  readonly lines: readonly string[]
}

/** Text of one reply line, so that the line with its codes stays below the 512 octets of RFC 5321 §4.5.3.1.5. */
const MAX_TEXT = 480

/**
 * Makes a reply. A line feed in the text starts a new line of the reply.
 * Throws RangeError when the code is none of SMTP's or when the enhanced code is of another class than the basic one (`451 5.4.0` lies to
 * whoever reads only one of the two).
 */
export function reply(code: number, enhanced: string | undefined, text: string): SmtpReply {
  if (!Number.isInteger(code) || code < 200 || code > 599) throw new RangeError(`${code} is no SMTP reply code`)
  if (enhanced !== undefined && !enhancedFits(code, enhanced)) {
    throw new RangeError(`enhanced code ${enhanced} does not fit reply code ${code}`)
  }
  return { code, enhanced, lines: text.split('\n') }
}

function enhancedFits(code: number, enhanced: string): boolean {
  return /^[245]\.\d{1,3}\.\d{1,3}$/.test(enhanced) && enhanced.charCodeAt(0) - 48 === Math.floor(code / 100)
}

/** A refusal: thrown by a handler it becomes the reply of the command, thrown by the client it says what the server answered. */
export class SmtpError extends Error {
  #reply: SmtpReply

  /** Throws RangeError under the same conditions as {@link reply}. */
  constructor(code: number, enhanced: string | undefined, text: string, options?: ErrorOptions) {
    super(text, options)
    this.name = 'SmtpError'
    this.#reply = reply(code, enhanced, text)
  }

  /** The error that stands for a reply received from a peer, whatever codes that peer combined. */
  static from(received: SmtpReply): SmtpError {
    const error = new SmtpError(451, undefined, received.lines.join(' '))
    error.#reply = received
    return error
  }

  /** The whole reply. */
  get reply(): SmtpReply {
    return this.#reply
  }

  /** The three digits (RFC 5321 §4.2.1). */
  get code(): number {
    return this.reply.code
  }

  /** The enhanced status code, such as `5.1.1` (RFC 3463); undefined where there is none. */
  get enhanced(): string | undefined {
    return this.reply.enhanced
  }

  /** Trying again later may help (4yz). */
  get temporary(): boolean {
    return this.reply.code < 500
  }
}

/**
 * The reply as it goes over the wire, CRLF included. Controls become spaces; without `utf8` every character outside ASCII becomes `?`
 * (RFC 6531 §3.7.4.2: UTF-8 in replies only for who asked for it). Overlong text is continued on further lines.
 */
export function formatReply({ code, enhanced, lines }: SmtpReply, utf8: boolean): string {
  const prefix = enhanced === undefined ? '' : enhanced + ' '
  const only = lines[0]
  if (lines.length === 1 && only !== undefined && only.length <= MAX_TEXT)
    return `${code} ${prefix}${clean(only, utf8)}\r\n`
  const texts = lines.flatMap(fold)
  let wire = ''
  for (let i = 0; i < texts.length; i++) {
    wire += `${code}${i + 1 < texts.length ? '-' : ' '}${prefix}${clean(texts[i] ?? '', utf8)}\r\n`
  }
  return wire
}

function fold(text: string): string[] {
  const pieces: string[] = []
  let rest = text
  while (rest.length > MAX_TEXT) {
    const space = rest.lastIndexOf(' ', MAX_TEXT)
    const cut = space > 0 ? space : MAX_TEXT
    pieces.push(rest.slice(0, cut))
    rest = rest.slice(space > 0 ? cut + 1 : cut)
  }
  pieces.push(rest)
  return pieces
}

function clean(text: string, utf8: boolean): string {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit > 0x7e) return replaceUnprintable(text, utf8)
  }
  return text
}

function replaceUnprintable(text: string, utf8: boolean): string {
  let cleaned = ''
  for (const character of text.toWellFormed()) {
    const point = character.codePointAt(0) ?? 0
    if (point < 0x20 || (point >= 0x7f && point < 0xa0)) cleaned += ' '
    else cleaned += point < 0x7f || utf8 ? character : '?'
  }
  return cleaned
}
