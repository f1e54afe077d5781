// XEP-0363 §7: the door for web clients to uploaded files. A ticket lets in one file; whoever knows the address gets it.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Scope } from '../../kernel/scope.ts'
import { StoreError } from '../../store/contracts.ts'
import type { StoredFile } from './files.store.ts'
import { disposition, mediaType, typeIsAmong } from './names.ts'
import { partOf } from './range.ts'
import type { Shelf } from './shelf.ts'
import { type Slot, slotOf } from './slots.ts'

/** A connection on which nothing moves for so long is cut. */
const STILL_MS = 60_000
/** Uploads of one account side by side. */
const MAX_UPLOADS = 10
/** Files that are on the way at the same time, in both directions. */
const MAX_TRANSFERS = 2000
const READ_PIECE = 256 * 1024
const FOREVER_SECONDS = 31_536_000

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, HEAD, PUT, OPTIONS',
  'access-control-allow-headers': 'Authorization, Content-Type, Range, If-Range, If-None-Match',
  'access-control-expose-headers': 'Content-Length, Content-Range, ETag',
  'access-control-max-age': '7200',
  'cross-origin-resource-policy': 'cross-origin',
}

/** A file is never a page of ours: no scripts, no frames, no guessing of what it might be. */
const SAFE = {
  'content-security-policy': "default-src 'none'; img-src 'self'; media-src 'self'; sandbox; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** A refusal of one request. */
class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export class FileDoor {
  readonly #shelf: Shelf
  readonly #scope: Scope
  readonly #uploads = new Map<string, number>()
  readonly #moving = new Set<Transfer>()
  readonly #octets
  readonly #answered

  constructor(scope: Scope, shelf: Shelf) {
    this.#shelf = shelf
    this.#scope = scope
    this.#octets = scope.metrics.counter('aviso_chat_file_octets', 'Octets of uploaded files, by direction', ['way'])
    this.#answered = scope.metrics.counter(
      'aviso_chat_file_requests',
      'Requests for uploaded files, by method and status',
      ['method', 'status'],
    )
    scope.interval(STILL_MS, () => {
      for (const transfer of this.#moving) transfer.look()
    })
  }

  /** Answers a request; `path`: what follows the place where the door is, `{id}/{name}`. Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    try {
      await this.#answer(request, response, path)
    } catch (error) {
      this.#refuse(request, response, error)
    }
    this.#answered.inc({
      method: METHODS.has(request.method ?? '') ? (request.method ?? '') : 'other',
      status: String(response.statusCode),
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const { method } = request
    if (method === 'OPTIONS') {
      response.writeHead(204, CORS).end()
      return
    }
    const [, id = '', coded = ''] = /^([A-Za-z0-9_-]{1,100})\/([^/]{1,2000})$/.exec(path) ?? []
    const name = decoded(coded)
    if (method === 'PUT') return this.#put(request, response, id, name)
    if (method === 'GET' || method === 'HEAD') return this.#get(request, response, id, name)
    throw new Refusal(405, 'files are got (GET, HEAD) and put (PUT) here')
  }

  async #put(request: IncomingMessage, response: ServerResponse, id: string, name: string | undefined): Promise<void> {
    const slot = await this.#slot(request, id)
    if (name === undefined || (await this.#shelf.nameOf(id)) !== name) throw new Refusal(404, 'there is no such slot')
    fits(request, slot)
    const uploads = this.#uploads.get(slot.account) ?? 0
    if (uploads >= MAX_UPLOADS) throw new Refusal(429, 'too many uploads at the same time: try again later')
    const done = this.#begin(request, response)
    this.#uploads.set(slot.account, uploads + 1)
    try {
      const arrival = await this.#shelf.receive(slot, request)
      if (arrival === 'taken') throw new Refusal(409, 'this slot was used, or is in use')
      if (arrival === 'gone') throw new Refusal(410, 'this slot is not there any more')
      this.#octets.inc({ way: 'in' }, slot.size)
      response.writeHead(201, { ...CORS, 'content-length': 0 }).end()
    } finally {
      done()
      const left = (this.#uploads.get(slot.account) ?? 1) - 1
      if (left > 0) this.#uploads.set(slot.account, left)
      else this.#uploads.delete(slot.account)
    }
  }

  /** The slot that the client shows a ticket for. */
  async #slot(request: IncomingMessage, id: string): Promise<Slot> {
    const [, ticket] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    const slot = ticket === undefined ? undefined : slotOf(await this.#shelf.secret(), ticket)
    if (slot === undefined || slot.id !== id) throw new Refusal(403, 'this needs the ticket of a slot')
    if (slot.until <= this.#scope.clock.now()) throw new Refusal(410, 'this slot has expired: take another one')
    return slot
  }

  async #get(request: IncomingMessage, response: ServerResponse, id: string, name: string | undefined): Promise<void> {
    const file = id === '' ? undefined : await this.#shelf.find(id)
    if (file === undefined || file.name !== name) throw new Refusal(404, 'there is no such file, or not any more')
    const tag = `"${file.id}"`
    const headers = { ...this.#headers(file), etag: tag }
    if (tagged(request.headers['if-none-match'], tag)) {
      response.writeHead(304, headers).end()
      return
    }
    const ifRange = request.headers['if-range']
    const part = ifRange === undefined || ifRange === tag ? partOf(request.headers.range, file.size) : undefined
    if (part === 'unsatisfiable') {
      response.writeHead(416, { ...CORS, 'content-range': `bytes */${file.size}`, 'content-length': 0 }).end()
      return
    }
    const { start, end } = part ?? { start: 0, end: file.size }
    const more = part === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${file.size}` }
    const whole = { ...headers, ...more, 'content-length': end - start }
    const status = part === undefined ? 200 : 206
    if (request.method === 'HEAD') {
      response.writeHead(status, whole).end()
      return
    }
    const done = this.#begin(request, response)
    try {
      const handle = await this.#shelf.open(file)
      if (handle === undefined) {
        this.#scope.log.error({ file: id, account: file.account }, 'an uploaded file is not on the disk')
        throw new Refusal(404, 'there is no such file, or not any more')
      }
      response.writeHead(status, whole)
      // The stream closes the file, whatever happens.
      await pipeline(handle.createReadStream({ start, end: end - 1, highWaterMark: READ_PIECE }), response)
      this.#octets.inc({ way: 'out' }, end - start)
    } finally {
      done()
    }
  }

  #headers({ name, type, at, expires }: StoredFile): Record<string, string | number> {
    const shown = typeIsAmong(type, this.#shelf.settings['shown-types'])
    const left = expires === undefined ? FOREVER_SECONDS : Math.floor((expires - this.#scope.clock.now()) / 1000)
    return {
      ...CORS,
      ...SAFE,
      'content-type':
        type === '' ? 'application/octet-stream' : type === 'text/plain' ? `${type}; charset=utf-8` : type,
      'content-disposition': disposition(shown ? 'inline' : 'attachment', name),
      'accept-ranges': 'bytes',
      'last-modified': new Date(at).toUTCString(),
      'cache-control': `private, max-age=${Math.max(0, Math.min(left, FOREVER_SECONDS))}, immutable`,
    }
  }

  #begin(request: IncomingMessage, response: ServerResponse): () => void {
    if (this.#moving.size >= MAX_TRANSFERS) throw new Refusal(503, 'too many files are on the way: try again later')
    const transfer = new Transfer(request, response)
    this.#moving.add(transfer)
    return () => void this.#moving.delete(transfer)
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const gone = request.socket.destroyed || response.destroyed
    const status =
      error instanceof Refusal
        ? error.status
        : error instanceof StoreError
          ? error.code === 'disk-full'
            ? 507
            : 503
          : 500
    if (status >= 500 && !gone && !(error instanceof Refusal))
      this.#scope.log.error({ err: error }, 'an uploaded file could not be handled')
    if (gone || response.headersSent) {
      response.destroy()
      return
    }
    const text = `${error instanceof Refusal ? error.message : 'this did not work: try again later'}\n`
    response.writeHead(status, {
      ...CORS,
      'content-type': 'text/plain; charset=utf-8',
      'content-length': Buffer.byteLength(text),
      'x-content-type-options': 'nosniff',
      ...(status === 405 && { allow: 'GET, HEAD, PUT, OPTIONS' }),
      ...((status === 429 || status === 503) && { 'retry-after': '60' }),
      // What a refused client goes on sending is not read.
      ...(request.method === 'PUT' && { connection: 'close' }),
    })
    response.end(request.method === 'HEAD' ? undefined : text)
  }
}

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'OPTIONS'])

/** A connection that carries a file. */
class Transfer {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #moved = -1

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
  }

  /** Cuts it where nothing has moved since the last look. */
  look(): void {
    const { socket } = this.#request
    const moved = socket.bytesRead + socket.bytesWritten
    if (moved === this.#moved) this.#response.destroy()
    this.#moved = moved
  }
}

function decoded(text: string): string | undefined {
  try {
    return text === '' ? undefined : decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Refuses what is not what the slot was given for (XEP-0363 §7). */
function fits({ headers }: IncomingMessage, slot: Slot): void {
  const length = headers['content-length']
  if (length === undefined || headers['transfer-encoding'] !== undefined)
    throw new Refusal(411, 'the size has to be told beforehand')
  if (Number(length) > slot.size) throw new Refusal(413, `the slot is for ${slot.size} octets`)
  if (Number(length) !== slot.size) throw new Refusal(400, `the slot is for ${slot.size} octets`)
  if (headers['content-encoding'] !== undefined) throw new Refusal(415, 'files are taken as they are')
  const type = headers['content-type']
  if (type !== undefined && slot.type !== '' && mediaType(type) !== slot.type)
    throw new Refusal(415, `the slot is for ${slot.type}`)
}

/** True where a list of entity tags names this one (RFC 9110 §13.1.2). */
const tagged = (list: string | undefined, tag: string): boolean =>
  list !== undefined && (list.trim() === '*' || list.split(',').some((each) => each.trim().replace(/^W\//, '') === tag))
