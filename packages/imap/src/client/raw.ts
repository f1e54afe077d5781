// A bare IMAP client: commands as text, responses as lines. It hides nothing, so tests and scripts can say and see anything.

import type { Duplex } from 'node:stream'
import { quote } from '../wire/encode.ts'
import { ImapClientError } from './errors.ts'
import { ResponseReader, type Segments } from './response/reader.ts'

/** One response line: text with `{n}` literals cut out (`text` holds a NUL in place of each), and the literals in order. */
export interface ImapLine {
  readonly text: string
  readonly literals: readonly Buffer[]
}

/** How a tagged command ended, with the untagged responses heard since the one before it ended. */
export interface ImapReply {
  readonly status: 'OK' | 'NO' | 'BAD'
  /** Response code without brackets. */
  readonly code: string | undefined
  readonly text: string
  readonly untagged: readonly ImapLine[]
}

/** Limits of `ImapClient`. */
export interface ImapClientOptions {
  /** Octets of one literal that are taken from the server. Default 64 MiB. */
  readonly literalLimit?: number
}

interface Waiting {
  readonly tag: string
  readonly resolve: (reply: ImapReply) => void
  readonly reject: (error: Error) => void
  /** Literals to send, one for each `+`. */
  readonly pieces: Uint8Array[]
}

const LINE = 64 * 1_048_576

/** A bare client for tests and scripts: sends command lines and gives back what came, unread. `connectImap` is the one for programs. */
export class ImapClient {
  readonly #socket: Duplex
  readonly #literalLimit: number
  readonly #reader = new ResponseReader(LINE)
  #untagged: ImapLine[] = []
  #waiting: Waiting[] = []
  #next = 0
  #greeting: { resolve: (line: ImapLine) => void; reject: (error: Error) => void } | undefined
  #continued: { resolve: (text: string) => void; reject: (error: Error) => void } | undefined
  #onUntagged: ((line: ImapLine) => void) | undefined
  #closed = false
  /** The greeting of the server. */
  readonly greeting: Promise<ImapLine>

  constructor(socket: Duplex, options: ImapClientOptions = {}) {
    this.#socket = socket
    this.#literalLimit = options.literalLimit ?? 67_108_864
    this.greeting = new Promise((resolve, reject) => (this.#greeting = { resolve, reject }))
    this.greeting.catch(() => undefined)
    socket.on('data', (chunk: Buffer) => this.#push(chunk))
    socket.on('error', () => this.#close())
    socket.on('close', () => this.#close())
  }

  /** Called for every untagged response as it comes, besides being part of the next reply. */
  set onUntagged(listener: ((line: ImapLine) => void) | undefined) {
    this.#onUntagged = listener
  }

  /** Sends `text` with a tag; `literals` follow one by one as the server asks for them. Resolves with whatever the server answers. */
  raw(text: string, literals: readonly Uint8Array[] = []): Promise<ImapReply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new ImapClientError('CLOSED', 'The connection is closed'))
        return
      }
      const tag = `a${++this.#next}`
      this.#waiting.push({ tag, resolve, reject, pieces: [...literals] })
      this.#socket.write(`${tag} ${text}\r\n`)
    })
  }

  /** As `raw`, but NO and BAD reject with `ImapClientError`. */
  async command(text: string, literals: readonly Uint8Array[] = []): Promise<ImapReply> {
    const reply = await this.raw(text, literals)
    if (reply.status === 'OK') return reply
    throw new ImapClientError(reply.status, `${text.split(' ')[0]}: ${reply.status} ${reply.text}`, { reply })
  }

  async login(user: string, password: string): Promise<ImapReply> {
    return this.command(`LOGIN ${quote(user)} ${quote(password)}`)
  }

  /** `mailbox` in modified UTF-7. Answers how many messages there are. */
  async select(mailbox: string): Promise<number> {
    const reply = await this.command(`SELECT ${quote(mailbox)}`)
    for (const { text } of reply.untagged) {
      const match = /^(\d+) EXISTS$/i.exec(text)
      if (match !== null) return Number(match[1])
    }
    return 0
  }

  /** The FETCH responses as they came. */
  async fetch(set: string, items: string, uid = false): Promise<readonly ImapLine[]> {
    const reply = await this.command(`${uid ? 'UID ' : ''}FETCH ${set} ${items}`)
    return reply.untagged.filter(({ text }) => /^\d+ FETCH /i.test(text))
  }

  async search(keys: string, uid = false): Promise<number[]> {
    const reply = await this.command(`${uid ? 'UID ' : ''}SEARCH ${keys}`)
    const line = reply.untagged.find(({ text }) => /^SEARCH\b/i.test(text))
    return (line?.text.match(/\d+/g) ?? []).map(Number)
  }

  async append(mailbox: string, message: Uint8Array, flags: readonly string[] = [], date?: string): Promise<ImapReply> {
    const when = date === undefined ? '' : ` ${quote(date)}`
    return this.command(`APPEND ${quote(mailbox)} (${flags.join(' ')})${when} {${message.length}}`, [message])
  }

  /** Begins IDLE; resolves when the server idles. The answer ends it. */
  async idle(): Promise<() => Promise<ImapReply>> {
    const continued = new Promise<string>((resolve, reject) => (this.#continued = { resolve, reject }))
    const reply = this.raw('IDLE')
    reply.catch(() => undefined)
    await continued
    return () => {
      this.#socket.write('DONE\r\n')
      return reply
    }
  }

  async logout(): Promise<void> {
    if (!this.#closed) await this.raw('LOGOUT')
    this.#socket.end()
  }

  /** Octets as they are, with no tag. */
  write(octets: Uint8Array | string): void {
    this.#socket.write(octets)
  }

  #push(chunk: Buffer): void {
    this.#reader.push(chunk)
    for (let event = this.#reader.next(); event !== undefined; event = this.#reader.next()) {
      if (event.kind === 'response') this.#take(line(event.segments))
      else if (event.kind === 'literal' && event.size <= this.#literalLimit) this.#reader.keep()
      else {
        this.#socket.destroy()
        return
      }
    }
  }

  #take(line: ImapLine): void {
    if (line.text.startsWith('* ')) {
      const untagged = { text: line.text.slice(2), literals: line.literals }
      if (this.#greeting !== undefined) {
        this.#greeting.resolve(untagged)
        this.#greeting = undefined
        return
      }
      this.#untagged.push(untagged)
      this.#onUntagged?.(untagged)
      return
    }
    if (line.text.startsWith('+')) {
      const waiting = this.#waiting.find(({ pieces }) => pieces.length > 0)
      const piece = waiting?.pieces.shift()
      if (piece !== undefined) {
        this.#socket.write(piece)
        this.#socket.write('\r\n')
      } else {
        this.#continued?.resolve(line.text.slice(2))
        this.#continued = undefined
      }
      return
    }
    const match = /^(\S+) (OK|NO|BAD) (?:\[([^\]]*)\] ?)?(.*)$/is.exec(line.text)
    const at = this.#waiting.findIndex(({ tag }) => tag === match?.[1])
    const waiting = this.#waiting[at]
    if (match === null || waiting === undefined) return
    this.#waiting.splice(at, 1)
    const untagged = this.#untagged
    this.#untagged = []
    waiting.resolve({
      status: match[2]?.toUpperCase() as ImapReply['status'],
      code: match[3],
      text: match[4] ?? '',
      untagged,
    })
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    const error = new ImapClientError('CLOSED', 'The connection is closed')
    this.#greeting?.reject(error)
    this.#continued?.reject(error)
    for (const { reject } of this.#waiting) reject(error)
    this.#waiting = []
  }
}

function line(segments: Segments): ImapLine {
  const literals: Buffer[] = []
  const text = segments.map((segment) => {
    if (typeof segment === 'string') return segment
    literals.push(segment.octets)
    return '\0'
  })
  return { text: text.join(''), literals }
}
