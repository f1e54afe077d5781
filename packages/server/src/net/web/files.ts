// Files that are part of the program, served as they are.

import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { WebError, type WebReply, type WebRequest } from './contracts.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mp3': 'audio/mpeg',
  '.ogg': 'audio/ogg',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.wasm': 'application/wasm',
}
const COMPRESSED = new Set(['.css', '.html', '.js', '.json', '.svg', '.ttf', '.wasm'])
/** Smaller ones are not worth it. */
const COMPRESS_FROM = 1024

const compress = promisify(gzip)

interface Loaded {
  readonly octets: Buffer
  readonly gzipped: Buffer | undefined
}

/** The files of a folder, by name: what was not in it at the start cannot be asked for. They are read once, and stay in memory. */
export class WebFiles {
  readonly #folder: string
  readonly #names: ReadonlySet<string>
  readonly #loaded = new Map<string, Promise<Loaded>>()

  /** Throws where the folder cannot be read. */
  constructor(folder: string) {
    this.#folder = folder
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
    this.#names = new Set(
      entries
        .filter((entry) => entry.isFile())
        .map((entry) =>
          join(entry.parentPath, entry.name)
            .slice(folder.length + 1)
            .split(sep)
            .join('/'),
        ),
    )
  }

  /** Answers with a file that never changes under its address. @throws WebError 404 */
  async reply(name: string, request: WebRequest): Promise<WebReply> {
    if (!this.#names.has(name)) throw new WebError(404, 'There is nothing at this address.')
    const loading = this.#loaded.get(name) ?? this.#load(name)
    this.#loaded.set(name, loading)
    const { octets, gzipped } = await loading
    const takesGzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
    const headers = {
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
      'cache-control': 'public, max-age=31536000, immutable',
      ...(gzipped !== undefined && { vary: 'Accept-Encoding' }),
    }
    if (gzipped === undefined || !takesGzip) return { headers, body: octets }
    return { headers: { ...headers, 'content-encoding': 'gzip' }, body: gzipped }
  }

  async #load(name: string): Promise<Loaded> {
    const octets = await readFile(join(this.#folder, name))
    const worth = octets.length >= COMPRESS_FROM && COMPRESSED.has(extname(name))
    return { octets, gzipped: worth ? await compress(octets) : undefined }
  }
}
