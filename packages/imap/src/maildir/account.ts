// The mail of one user in a Maildir. Every session opens its own `MailAccount` on it.

import { join } from 'node:path'
import {
  BackendError,
  type AppendMessage,
  type AppendResult,
  type MailAccount,
  type Mailbox,
  type MailboxStatus,
} from '../backend.ts'
import { ThreadIds, type Thread } from '../render/thread-ids.ts'
import { Files } from './files.ts'
import type { Folder } from './folder.ts'
import type { LayoutName } from './layout.ts'
import { type Around, MaildirMailbox } from './mailbox.ts'
import { Messages } from './messages.ts'
import { withCrlf } from './scan.ts'
import { type Arrival, arrive, withFolders } from './transfer.ts'
import { Tree } from './tree.ts'
import { Watcher } from './watcher.ts'

/** How a Maildir is served. */
export interface MaildirOptions {
  /** The user, for logs and NAMESPACE. Default: the path. */
  readonly name?: string
  /** Default `maildir++`: folders are `.Name.Sub` beside INBOX. `fs`: folders in folders. */
  readonly layout?: LayoutName
  /** Largest message accepted, in octets. Default 64 MiB. */
  readonly appendLimit?: number
  /** Milliseconds since the epoch, for INTERNALDATE and SAVEDATE. */
  readonly now?: () => number
  /** Milliseconds to wait for another program's lock before INUSE. Default 30 s. */
  readonly patience?: number
  /** Octets that rendered pieces of messages may take in memory. Default 32 MiB. */
  readonly cacheOctets?: number
  /** How files are written: for tests of failing disks. */
  readonly files?: Files
}

/** An existing Maildir (or the place of a new one), served in place. Other programs may deliver to it, and read it, meanwhile. */
export class MaildirMail {
  readonly name: string
  readonly appendLimit: number
  readonly #now: () => number
  readonly #tree: Tree
  readonly #messages: Messages
  readonly #watcher: Watcher
  #opened = new WeakMap<Folder, Mailbox>()
  #listeners = new Set<(mailboxId: string | undefined) => void>()
  #threads = new ThreadIds()
  #weaving: Promise<unknown> = Promise.resolve()
  #threaded = new Map<string, Map<number, Thread>>()
  readonly #around: Around

  constructor(path: string, options: MaildirOptions = {}) {
    this.name = options.name ?? path
    this.appendLimit = options.appendLimit ?? 64 << 20
    this.#now = options.now ?? Date.now
    this.#messages = new Messages(options.cacheOctets ?? 32 << 20)
    this.#tree = new Tree({
      path,
      layout: options.layout ?? 'maildir++',
      files: options.files ?? new Files(path),
      now: this.#now,
      patience: options.patience ?? 30_000,
      tell: (id) => this.#tell(id),
    })
    this.#watcher = new Watcher(
      (folder) => void this.#look(folder),
      () => this.#tell(undefined),
    )
    this.#around = {
      messages: this.#messages,
      destination: (name) => this.#tree.reach(name, 'TRYCREATE'),
      stage: (folder, messages) => this.#stage(folder, messages),
      thread: (folder, uid) => this.#thread(folder, uid),
    }
  }

  /** What a session gets at login. */
  open(): MailAccount {
    const stops = new Set<() => void>()
    return {
      name: this.name,
      appendLimit: this.appendLimit,
      list: () => this.#tree.list(),
      create: (name, role) => this.#tree.create(name, role),
      delete: (name) => this.#tree.delete(name),
      rename: (from, to) => this.#rename(from, to),
      subscribe: (name, subscribed) => this.#tree.subscribe(name, subscribed),
      status: (name) => this.#status(name),
      open: async (name) => this.#mailbox(await this.#tree.open(name, 'NONEXISTENT')),
      append: (name, messages) => this.#append(name, messages),
      watch: (listener) => {
        this.#listeners.add(listener)
        void this.#follow()
        const stop = (): void => {
          this.#listeners.delete(listener)
          stops.delete(stop)
          if (this.#listeners.size === 0) this.#watcher.close()
        }
        stops.add(stop)
        return stop
      },
      close: () => stops.forEach((stop) => stop()),
    }
  }

  #tell(id: string | undefined): void {
    for (const listener of this.#listeners) listener(id)
    if (id === undefined) void this.#follow()
  }

  /** Watches the folders that there are, while somebody listens. */
  async #follow(): Promise<void> {
    if (this.#listeners.size === 0) return
    const all = await this.#tree.all().catch(() => [])
    if (this.#listeners.size === 0) return
    this.#watcher.follow(
      this.#tree.path,
      all.filter(({ selectable }) => selectable).map(({ path }) => path),
    )
  }

  /** Something happened in a folder: where it was not our own doing, the sync tells it. */
  async #look(path: string): Promise<void> {
    try {
      const found = (await this.#tree.all()).find((one) => one.path === path && one.selectable)
      if (found !== undefined) await this.#tree.open(found.name, 'NONEXISTENT')
    } catch {
      // It is gone, or cannot be read now: whoever opens it is told why.
    }
  }

  #mailbox(folder: Folder): Mailbox {
    const opened = this.#opened.get(folder) ?? new MaildirMailbox(folder, this.#around)
    this.#opened.set(folder, opened)
    return opened
  }

  async #status(name: string): Promise<MailboxStatus> {
    const folder = await this.#tree.open(name, 'NONEXISTENT')
    const { uidValidity, uidNext, highestModseq, recentUid } = folder.state
    return { ...folder.state.counts(), id: folder.id, uidValidity, uidNext, highestModseq, recentUid }
  }

  async #rename(from: string, to: string): Promise<void> {
    if (!/^inbox$/i.test(from)) return this.#tree.rename(from, to)
    // RFC 9051 §6.3.6: INBOX stays, its messages go.
    await this.#tree.create(to, undefined)
    const inbox = this.#mailbox(await this.#tree.open('INBOX', 'NONEXISTENT'))
    await inbox.move([...(await inbox.snapshot()).uids], to)
  }

  async #append(name: string, messages: readonly AppendMessage[]): Promise<AppendResult> {
    const folder = await this.#tree.reach(name, 'TRYCREATE')
    const { arrivals, discard } = await this.#stage(folder, messages)
    try {
      return await withFolders([folder], async () => {
        await folder.control()
        const uids = await arrive(folder, arrivals)
        return { uidValidity: folder.state.uidValidity, uids }
      })
    } finally {
      await discard()
    }
  }

  /** Writes messages to `tmp`, before any lock is taken. */
  async #stage(
    folder: Folder,
    messages: readonly AppendMessage[],
  ): Promise<{ readonly arrivals: readonly Arrival[]; discard(): Promise<void> }> {
    const { files } = folder
    for (const { bytes } of messages)
      if (bytes.length > this.appendLimit)
        throw new BackendError('TOOBIG', `Messages may have ${this.appendLimit} octets at most`)
    const staged: { path: string; arrival: Arrival }[] = []
    const discard = async (): Promise<void> => {
      await Promise.all(staged.map(({ path }) => files.unlink(path).catch(() => undefined)))
    }
    try {
      await Promise.all(
        messages.map(async ({ bytes, flags, internalDate, zone }, i) => {
          const octets = withCrlf(Buffer.from(bytes))
          const date = Math.floor((internalDate ?? this.#now()) / 1000) * 1000
          const path = join(folder.path, 'tmp', files.unique())
          const size = octets.length
          await files.create(path, octets, new Date(date))
          staged[i] = {
            path,
            arrival: {
              flags,
              internalDate: date,
              zone: zone ?? 0,
              fileSize: size,
              size,
              place: (to) => files.rename(path, to),
              undo: (to) => files.rename(to, path),
            },
          }
        }),
      )
    } catch (error) {
      await discard()
      throw error
    }
    return { arrivals: staged.map(({ arrival }) => arrival), discard }
  }

  async #thread(folder: Folder, uid: number): Promise<string> {
    const known = this.#threaded.get(folder.id)?.get(uid)
    if (known !== undefined) return known.id
    const id = this.#weaving.then(() => this.#findThread(folder, uid))
    this.#weaving = id.catch(() => undefined)
    return id
  }

  /** Threads reach over all folders: whoever asks for one first has all messages looked at, oldest first. One at a time. */
  async #findThread(folder: Folder, uid: number): Promise<string> {
    const known = this.#threaded.get(folder.id)?.get(uid)
    if (known !== undefined) return known.id
    const fresh: { folder: Folder; uid: number; date: number }[] = []
    for (const { name, selectable } of await this.#tree.all()) {
      const one = selectable ? await this.#tree.open(name, 'NONEXISTENT').catch(() => undefined) : undefined
      for (const row of one?.state.rows ?? [])
        if (one !== undefined && this.#threaded.get(one.id)?.has(row.uid) !== true)
          fresh.push({ folder: one, uid: row.uid, date: row.internalDate })
    }
    for (const one of fresh.sort((a, b) => a.date - b.date)) await this.#weave(one.folder, one.uid)
    return (this.#threaded.get(folder.id)?.get(uid) ?? (await this.#weave(folder, uid))).id
  }

  async #weave(folder: Folder, uid: number): Promise<Thread> {
    let threading = ''
    for await (const { keys } of this.#mailbox(folder).keys([uid], 'threading')) threading = keys
    let emailId = `${folder.id}-${uid}`
    // A message that names no ids is a thread of its own, with all its copies.
    if (!/\n./.test(threading))
      for await (const [meta] of this.#mailbox(folder).meta([uid], ['emailId'])) emailId = meta?.emailId ?? emailId
    const thread = this.#threads.add(threading, `T${emailId}`)
    const folderThreads = this.#threaded.get(folder.id) ?? new Map<number, Thread>()
    this.#threaded.set(folder.id, folderThreads.set(uid, thread))
    return thread
  }
}
