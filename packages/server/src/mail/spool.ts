// Large messages on their way in, as files: they lie here until their targets have them safe, and mean nothing after a crash.

import { mkdir, open, rm, statfs, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Spool, SpoolFile } from '@aviso/smtp'
import { type Scope, serviceKey } from '../kernel/scope.ts'

export const MailSpool = serviceKey<Spool>('mail-spool')

/** Octets of all messages together that arrive at the same time. */
const CAPACITY = 8 * 2 ** 30
/** Octets that the databases beside it are to find free; on a small disk a twentieth of it is enough. */
const RESERVE = 256 * 2 ** 20
const RESERVE_SHARE = 0.05
const READ = 65_536

export interface FileSpoolOptions {
  readonly capacity?: number
  readonly reserve?: number
}

/** Opens the spool in `folder`, and takes away what a crash has left there. */
export async function openSpool(scope: Scope, folder: string, options: FileSpoolOptions = {}): Promise<FileSpool> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  return new FileSpool(scope, folder, options)
}

export class FileSpool implements Spool {
  readonly #scope: Scope
  readonly #folder: string
  readonly #capacity: number
  readonly #reserve: number
  #octets = 0

  constructor(scope: Scope, folder: string, { capacity = CAPACITY, reserve = RESERVE }: FileSpoolOptions) {
    this.#scope = scope
    this.#folder = folder
    this.#capacity = capacity
    this.#reserve = reserve
    scope.metrics.gauge('aviso_mail_spool_octets', 'Octets of messages that wait in the spool').set({}, 0)
  }

  /** Octets of all files. */
  get octets(): number {
    return this.#octets
  }

  /** Rejects when the disk is nearly full. */
  async create(): Promise<SpoolFile> {
    const { bavail, blocks, bsize } = await statfs(this.#folder)
    if (bavail * bsize < Math.min(this.#reserve, blocks * bsize * RESERVE_SHARE))
      throw new Error('the disk is nearly full')
    const path = join(this.#folder, this.#scope.random.bytes(12).toString('hex'))
    return new File(path, await open(path, 'wx+', 0o600), this)
  }

  /** Takes room for `octets`; throws when there is none. A negative number gives it back. */
  take(octets: number): void {
    if (octets > 0 && this.#octets + octets > this.#capacity)
      throw new Error(`more than ${this.#capacity} octets of messages arrive at the same time`)
    this.#octets += octets
    this.#scope.metrics
      .gauge('aviso_mail_spool_octets', 'Octets of messages that wait in the spool')
      .set({}, this.#octets)
  }
}

class File implements SpoolFile {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #spool: FileSpool
  #size = 0
  #gone: Promise<void> | undefined

  constructor(path: string, handle: FileHandle, spool: FileSpool) {
    this.#path = path
    this.#handle = handle
    this.#spool = spool
  }

  async write(octets: Uint8Array): Promise<void> {
    this.#spool.take(octets.length)
    this.#size += octets.length
    let at = this.#size - octets.length
    for (let rest = octets; rest.length > 0;) {
      const { bytesWritten } = await this.#handle.write(rest, 0, rest.length, at)
      at += bytesWritten
      rest = rest.subarray(bytesWritten)
    }
  }

  async end(): Promise<void> {
    // What is written can be read at once.
  }

  async *read(from: number, to: number): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to;) {
      const piece = Buffer.allocUnsafeSlow(Math.min(READ, to - at))
      const { bytesRead } = await this.#handle.read(piece, 0, piece.length, at)
      if (bytesRead === 0) throw new Error('a message in the spool is shorter than it was')
      at += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  }

  discard(): Promise<void> {
    this.#gone ??= this.#discard()
    return this.#gone
  }

  async #discard(): Promise<void> {
    this.#spool.take(-this.#size)
    this.#size = 0
    // A file that stays is swept at the next start.
    await this.#handle.close().catch(() => {})
    await rm(this.#path, { force: true }).catch(() => {})
  }
}
