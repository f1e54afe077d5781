// XEP-0363 §7: the door for web clients to uploaded files. A ticket lets in one file; whoever knows the address gets it.

import { Readable } from 'node:stream'
import type { Scope } from '../../kernel/scope.ts'
import { WebError, type Web, type WebReply, type WebRequest } from '../../net/web/contracts.ts'
import { StoreError } from '../../store/contracts.ts'
import type { StoredFile } from './files.store.ts'
import { disposition, mediaType, typeIsAmong } from './names.ts'
import { partOf } from './range.ts'
import type { Shelf } from './shelf.ts'
import { type Slot, slotOf } from './slots.ts'

/** Where the door is on every host. */
export const FILES_PATH = '/files/'

/** Uploads of one account side by side. */
const MAX_UPLOADS = 10
/** Files that are on the way at the same time, in both directions. */
const MAX_TRANSFERS = 2000
const READ_PIECE = 256 * 1024
const YEAR_SECONDS = 31_536_000

/** A file is never a page of ours: no scripts, no frames, no guessing of what it might be. */
const SAFE = {
  'content-security-policy': "default-src 'none'; img-src 'self'; media-src 'self'; sandbox; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'cross-origin',
  'access-control-expose-headers': 'Content-Length, Content-Range, ETag',
}

/** Answers requests for files below `FILES_PATH` until `scope` closes. */
export function openFileDoor(scope: Scope, web: Web, shelf: Shelf): void {
  const door = new FileDoor(scope, shelf)
  // The slot says how much may come.
  const all = { path: FILES_PATH, crossOrigin: 'any', maxBody: Number.MAX_SAFE_INTEGER } as const
  web.route(scope, { ...all, method: 'PUT', handle: (request) => door.put(request) })
  web.route(scope, { ...all, method: 'GET', handle: (request) => door.get(request) })
}

class FileDoor {
  readonly #shelf: Shelf
  readonly #scope: Scope
  readonly #uploads = new Map<string, number>()
  #moving = 0
  readonly #octets

  constructor(scope: Scope, shelf: Shelf) {
    this.#shelf = shelf
    this.#scope = scope
    this.#octets = scope.metrics.counter('aviso_chat_file_octets', 'Octets of uploaded files, by direction', ['way'])
  }

  async put(request: WebRequest): Promise<WebReply> {
    const { id, name } = placeOf(request)
    const slot = await this.#slot(request, id)
    if ((await this.#shelf.nameOf(id).catch(later)) !== name) throw new WebError(404, 'There is no such slot.')
    fits(request, slot)
    const uploads = this.#uploads.get(slot.account) ?? 0
    if (uploads >= MAX_UPLOADS) throw tooMany(429, 'There are too many uploads of yours at the same time.')
    const done = this.#begin()
    this.#uploads.set(slot.account, uploads + 1)
    try {
      const arrival = await this.#shelf.receive(slot, request.body()).catch(later)
      if (arrival === 'taken') throw new WebError(409, 'This slot was used, or is in use.')
      if (arrival === 'gone') throw new WebError(410, 'This slot is not there any more.')
      this.#octets.inc({ way: 'in' }, slot.size)
      return { status: 201 }
    } finally {
      done()
      const left = (this.#uploads.get(slot.account) ?? 1) - 1
      if (left > 0) this.#uploads.set(slot.account, left)
      else this.#uploads.delete(slot.account)
    }
  }

  async get(request: WebRequest): Promise<WebReply> {
    const { id, name } = placeOf(request)
    const file = await this.#shelf.find(id).catch(later)
    if (file === undefined || file.name !== name) throw missing()
    const tag = `"${file.id}"`
    const headers = { ...this.#headers(file), etag: tag }
    if (tagged(request.headers['if-none-match'], tag)) return { status: 304, headers }
    const ifRange = request.headers['if-range']
    const part = ifRange === undefined || ifRange === tag ? partOf(request.headers.range, file.size) : undefined
    if (part === 'unsatisfiable') return { status: 416, headers: { 'content-range': `bytes */${file.size}` } }
    const { start, end } = part ?? { start: 0, end: file.size }
    const more = part === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${file.size}` }
    return {
      status: part === undefined ? 200 : 206,
      headers: { ...headers, ...more, 'content-length': String(end - start) },
      body: request.head ? Readable.from([]) : await this.#content(file, start, end),
    }
  }

  /** The octets [start, end) of a file, as they are read. */
  async #content(file: StoredFile, start: number, end: number): Promise<Readable> {
    const done = this.#begin()
    try {
      const handle = await this.#shelf.open(file).catch(later)
      if (handle === undefined) {
        this.#scope.log.error({ file: file.id, account: file.account }, 'an uploaded file is not on the disk')
        throw missing()
      }
      // The stream closes the file, whatever happens.
      const content = handle.createReadStream({ start, end: end - 1, highWaterMark: READ_PIECE })
      content.once('close', () => {
        done()
        this.#octets.inc({ way: 'out' }, content.bytesRead)
      })
      return content
    } catch (error) {
      done()
      throw error
    }
  }

  /** The slot that the client shows a ticket for. */
  async #slot(request: WebRequest, id: string): Promise<Slot> {
    const [, ticket] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    const slot = ticket === undefined ? undefined : slotOf(await this.#shelf.secret().catch(later), ticket)
    if (slot === undefined || slot.id !== id) throw new WebError(403, 'This needs the ticket of a slot.')
    if (slot.until <= this.#scope.clock.now()) throw new WebError(410, 'This slot has expired: take another one.')
    return slot
  }

  #headers({ name, type, at, expires }: StoredFile): Record<string, string> {
    const shown = typeIsAmong(type, this.#shelf.settings['shown-types'])
    const left = expires === undefined ? YEAR_SECONDS : Math.floor((expires - this.#scope.clock.now()) / 1000)
    const kind = type === '' ? 'application/octet-stream' : type === 'text/plain' ? `${type}; charset=utf-8` : type
    return {
      ...SAFE,
      'content-type': kind,
      'content-disposition': disposition(shown ? 'inline' : 'attachment', name),
      'accept-ranges': 'bytes',
      'last-modified': new Date(at).toUTCString(),
      'cache-control': `private, max-age=${Math.max(0, Math.min(left, YEAR_SECONDS))}, immutable`,
    }
  }

  /** A file is on the way until what it answers is called. */
  #begin(): () => void {
    if (this.#moving >= MAX_TRANSFERS) throw tooMany(503, 'There are too many files on the way.')
    this.#moving++
    return () => void this.#moving--
  }
}

const missing = (): WebError => new WebError(404, 'There is no such file, or not any more.')

const tooMany = (status: number, why: string): WebError =>
  new WebError(status, `${why} Try again later.`, { 'retry-after': '60' })

/** What the store complains of, in words of HTTP. */
function later(error: unknown): never {
  if (!(error instanceof StoreError)) throw error
  if (error.code === 'disk-full') throw new WebError(507, 'There is no room for this now.')
  throw tooMany(503, 'This does not work now.')
}

/** `{id}/{name}`, below the place of the door. */
function placeOf({ rest }: WebRequest): { readonly id: string; readonly name: string } {
  const [, id, name] = /^([A-Za-z0-9_-]{1,100})\/([^/]{1,1000})$/.exec(rest) ?? []
  if (id === undefined || name === undefined) throw missing()
  return { id, name }
}

/** Refuses what is not what the slot was given for (XEP-0363 §7). */
function fits({ headers, length }: WebRequest, slot: Slot): void {
  if (length === undefined) throw new WebError(411, 'The size has to be told beforehand.')
  if (length !== slot.size) throw new WebError(length > slot.size ? 413 : 400, `The slot is for ${slot.size} octets.`)
  if (headers['content-encoding'] !== undefined) throw new WebError(415, 'Files are taken as they are.')
  const type = headers['content-type']
  if (type !== undefined && slot.type !== '' && mediaType(type) !== slot.type)
    throw new WebError(415, `The slot is for ${slot.type}.`)
}

/** True where a list of entity tags names this one (RFC 9110 §13.1.2). */
const tagged = (list: string | undefined, tag: string): boolean =>
  list !== undefined && (list.trim() === '*' || list.split(',').some((each) => each.trim().replace(/^W\//, '') === tag))
