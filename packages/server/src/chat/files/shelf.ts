// Where uploaded files are kept: slots, quotas, expiry. The octets lie in the folder of their owner's account, what is known of them in the server's own database.

import type { Readable } from 'node:stream'
import type { FileHandle } from 'node:fs/promises'
import type { Account } from '../../accounts/contracts.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { type Calls, Store } from '../../store/contracts.ts'
import { secretsStore } from '../../store/secrets.store.ts'
import type { FilesConfig } from './config.ts'
import { examineFiles, type FilesExamination } from './doctor.ts'
import { type FileLimits, filesStore, type Gone, type Purpose, type StoredFile } from './files.store.ts'
import { IMAGE_HEAD, imageSize } from './image-size.ts'
import { type Slot, ticketOf } from './slots.ts'

/** What a client wants to upload. */
export interface Wish {
  /** As `fileName` gives it. */
  readonly name: string
  /** As `mediaType` gives it, or ''. */
  readonly type: string
  readonly size: number
  readonly purpose: Purpose
  /** Milliseconds since the epoch; undefined: never. */
  readonly expires: number | undefined
}

/** A slot that was given, or why there is none: the account has no room, not today, or the server has none. `retry`: when to ask again. */
export type Answer =
  | { readonly kind: 'given'; readonly id: string; readonly ticket: string }
  | { readonly kind: 'account' | 'server' }
  | { readonly kind: 'day'; readonly retry: number }

/** `taken`: the slot was used, or somebody uses it. `gone`: it is not wanted any more. */
export type Arrival = 'kept' | 'taken' | 'gone'

/** How long an upload may take. */
const UPLOAD_MS = 86_400_000
const SWEEP_MS = 5 * 60_000
/** Rows of one call. */
const BATCH = 100

/** Rejects with a `StoreError` where the disk or the database does not do its work. */
export class Shelf {
  readonly settings: FilesConfig
  readonly #scope: Scope
  readonly #store: Store
  readonly #rows: Calls<(typeof filesStore)['operations']>
  #secret: Promise<Uint8Array> | undefined

  constructor(scope: Scope, settings: FilesConfig) {
    this.settings = settings
    this.#scope = scope
    this.#store = scope.use(Store)
    this.#rows = this.#store.core(filesStore)
    scope.interval(SWEEP_MS, () => this.sweep())
    const rooms = scope.find(accountRooms)
    if (rooms !== undefined)
      scope.defer(
        rooms.register({
          name: 'chat-files',
          create: async () => {},
          erase: ({ id }) => this.#rows.erase({ account: id }),
        }),
      )
  }

  /** What slots are signed with. */
  secret(): Promise<Uint8Array> {
    this.#secret ??= this.#store
      .core(secretsStore)
      .get({ name: 'file-slots', fresh: this.#scope.random.bytes(32) })
      .catch((error: unknown) => {
        this.#secret = undefined
        throw error
      })
    return this.#secret
  }

  /** Gives a slot that is good for `lifetime` milliseconds. */
  async reserve(account: Account, wish: Wish, limits: Omit<FileLimits, 'server'>, lifetime: number): Promise<Answer> {
    const id = this.#scope.random.bytes(18).toString('base64url')
    const until = this.#scope.clock.now() + lifetime
    const slot: Slot = { id, account: account.id, size: wish.size, type: wish.type, until }
    const ticket = ticketOf(await this.secret(), slot)
    const reservation = await this.#rows.reserve({
      file: { ...wish, id, account: account.id, until },
      limits: { ...limits, server: this.settings['server-quota'] },
    })
    if (reservation.kind !== 'reserved') return reservation
    await this.#clear(reservation.displaced)
    return { kind: 'given', id, ticket }
  }

  /** Takes the octets of a slot. Resolves when they are safe; rejects, and leaves nothing of them, where they do not come. Until the slot's time is over it may be tried again. */
  async receive({ id, account, size, type, until }: Slot, content: Readable): Promise<Arrival> {
    const now = this.#scope.clock.now()
    if (!(await this.#rows.claim({ id, until: now + UPLOAD_MS }))) return 'taken'
    const files = this.#store.accountFiles(account)
    try {
      await files.receive(id, content, size)
      const dimensions = type === '' || type.startsWith('image/') ? await this.#dimensions(account, id) : {}
      if (await this.#rows.keep({ id, ...dimensions })) return 'kept'
    } catch (error) {
      await this.#rows.release({ id, until }).catch((second: unknown) => {
        // It is swept away when the time for the upload is over.
        this.#scope.log.warn({ err: second, file: id }, 'a slot whose upload was cut could not be given back')
      })
      throw error
    }
    await files.delete(id)
    return 'gone'
  }

  /** A file that is there. */
  async find(id: string): Promise<StoredFile | undefined> {
    const found = await this.#rows.find({ id })
    return found?.state === 'kept' ? found.file : undefined
  }

  /** The name that a slot was given for; undefined where there is no such slot any more. */
  async nameOf(id: string): Promise<string | undefined> {
    return (await this.#rows.find({ id }))?.file.name
  }

  /** Its octets: the caller closes the file. */
  async open({ id, account }: StoredFile): Promise<FileHandle | undefined> {
    return this.#store.accountFiles(account).open(id)
  }

  /** Newest first, those before the number `before`. */
  list(options: { readonly account?: string; readonly before: number; readonly limit: number }) {
    return this.#rows.list(options)
  }

  usage(account: string) {
    return this.#rows.usage({ account })
  }

  usages(limit: number) {
    return this.#rows.usages({ limit })
  }

  /** Deletes files (with `account`: only those of that account); tells how many there were. */
  async delete(ids: readonly string[], account?: string): Promise<number> {
    const gone = await this.#rows.drop({ ids, ...(account !== undefined && { account }) })
    await this.#clear(gone)
    return gone.length
  }

  /** Deletes all files of an account; tells how many there were. */
  async deleteAll(account: string): Promise<number> {
    for (let deleted = 0; ;) {
      const gone = await this.#rows.dropAll({ account, limit: BATCH })
      await this.#clear(gone)
      deleted += gone.length
      if (gone.length < BATCH) return deleted
    }
  }

  /** Deletes what has expired, and what a crash kept from being deleted. */
  async sweep(): Promise<void> {
    for (;;) {
      const gone = await this.#rows.due({ limit: BATCH })
      await this.#clear(gone)
      if (gone.length < BATCH) return
    }
  }

  /** Whether the files of an account are all there, and no others. */
  examine(account: string, repair: boolean): Promise<FilesExamination> {
    return examineFiles(this.#rows, this.#store.accountFiles(account), account, repair)
  }

  /** Takes files that nobody gets any more off the disk, and then their rows: what is interrupted is done by the next sweep. */
  async #clear(gone: readonly Gone[]): Promise<void> {
    if (gone.length === 0) return
    for (const { id, account } of gone) await this.#store.accountFiles(account).delete(id)
    await this.#rows.bury({ ids: gone.map(({ id }) => id) })
  }

  async #dimensions(account: string, id: string): Promise<{ readonly width?: number; readonly height?: number }> {
    const file = await this.#store.accountFiles(account).open(id)
    if (file === undefined) return {}
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(IMAGE_HEAD), 0, IMAGE_HEAD, 0)
      return imageSize(buffer.subarray(0, bytesRead)) ?? {}
    } finally {
      await file.close()
    }
  }
}

export const Files = serviceKey<Shelf>('chat-files')
