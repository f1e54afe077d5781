// Mail of one user kept in memory. Every session opens its own `MailAccount` on it.

import {
  BackendError,
  type AppendMessage,
  type AppendResult,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type MailboxStatus,
} from '../backend.ts'
import { canonicalName, nameFault } from '../wire/mailbox-name.ts'
import { type MemoryClock, MemoryMailbox, type StoredMessage } from './mailbox.ts'

export interface MemoryMailOptions {
  readonly name?: string
  /** Octets; default 1 MiB. */
  readonly appendLimit?: number
  /** Octets of all messages; APPEND and COPY beyond it are refused with OVERQUOTA. */
  readonly quota?: number
  /** Keywords that can be kept; default 1000. */
  readonly keywords?: number
  /** Milliseconds since the epoch, for INTERNALDATE. */
  readonly now?: () => number
  /** Mailboxes there from the start, beside INBOX. */
  readonly mailboxes?: Readonly<Record<string, MailboxRole | undefined>>
}

/** One user's mail. Lost with the process. */
export class MemoryMail {
  readonly name: string
  readonly appendLimit: number
  #quota: number
  #now: () => number
  #mailboxes = new Map<string, MemoryMailbox>()
  #roles = new Map<string, MailboxRole>()
  #subscribed = new Set<string>()
  #listeners = new Set<(mailboxId: string | undefined) => void>()
  #keywords = new Map<string, string>()
  #clock: MemoryClock
  #modseq = 0
  #made = 0
  #emails = 0
  #uidValidity: number

  constructor(options: MemoryMailOptions = {}) {
    this.name = options.name ?? 'test'
    this.appendLimit = options.appendLimit ?? 1_048_576
    this.#quota = options.quota ?? Infinity
    this.#now = options.now ?? Date.now
    this.#uidValidity = 1000
    const maximum = options.keywords ?? 1000
    this.#clock = {
      nextModseq: () => ++this.#modseq,
      keyword: (flag) => {
        const key = flag.toLowerCase()
        const known = this.#keywords.get(key)
        if (known !== undefined) return known
        if (this.#keywords.size >= maximum)
          throw new BackendError('LIMIT', `No more than ${maximum} keywords can be kept`)
        this.#keywords.set(key, flag)
        return flag
      },
      keywords: () => [...this.#keywords.values()],
      changed: (id) => this.#tell(id),
      find: (name) => this.#find(name, 'TRYCREATE'),
      now: this.#now,
      emailId: () => `E${++this.#emails}`,
      append: (name, messages, instead) => this.#append(name, messages, instead),
    }
    this.#make('INBOX')
    for (const [name, role] of Object.entries(options.mailboxes ?? {})) {
      this.#make(name)
      if (role !== undefined) this.#roles.set(name, role)
    }
  }

  /** What a session gets at login. */
  open(): MailAccount {
    const stops = new Set<() => void>()
    return {
      name: this.name,
      appendLimit: this.appendLimit,
      list: async () => this.#list(),
      create: async (name, role) => this.#create(name, role),
      delete: async (name) => this.#delete(name),
      rename: async (from, to) => this.#rename(from, to),
      subscribe: async (name, subscribed) => {
        if (subscribed) this.#subscribed.add(canonicalName(name))
        else this.#subscribed.delete(canonicalName(name))
        this.#tell(undefined)
      },
      status: async (name): Promise<MailboxStatus> => this.#find(name, 'NONEXISTENT').status(),
      open: async (name): Promise<Mailbox> => this.#find(name, 'NONEXISTENT'),
      append: async (name, messages) => this.#append(name, messages),
      watch: (listener) => {
        this.#listeners.add(listener)
        const stop = (): void => {
          this.#listeners.delete(listener)
          stops.delete(stop)
        }
        stops.add(stop)
        return stop
      },
      close: () => stops.forEach((stop) => stop()),
    }
  }

  /** Listeners still registered: sessions that have not been closed. */
  get watchers(): number {
    return this.#listeners.size
  }

  #tell(id: string | undefined): void {
    for (const listener of this.#listeners) listener(id)
  }

  #make(name: string): MemoryMailbox {
    const mailbox = new MemoryMailbox(`M${++this.#made}`, name, ++this.#uidValidity, this.#clock)
    this.#mailboxes.set(name, mailbox)
    return mailbox
  }

  #find(name: string, code: string): MemoryMailbox {
    const mailbox = this.#mailboxes.get(canonicalName(name))
    if (mailbox === undefined) throw new BackendError(code, `There is no mailbox ${name}`)
    return mailbox
  }

  #entry(name: string): MailboxEntry {
    const mailbox = this.#mailboxes.get(name)
    const role = name === 'INBOX' ? 'Inbox' : this.#roles.get(name)
    return {
      id: mailbox?.id ?? '',
      name,
      role,
      subscribed: this.#subscribed.has(name),
      selectable: mailbox !== undefined,
    }
  }

  #list(): MailboxEntry[] {
    const names = new Set([...this.#mailboxes.keys(), ...this.#subscribed])
    for (const name of this.#mailboxes.keys()) for (const parent of parents(name)) names.add(parent)
    return [...names].sort().map((name) => this.#entry(name))
  }

  #create(wanted: string, role: MailboxRole | undefined): MailboxEntry {
    const name = canonicalName(wanted)
    const fault = nameFault(name)
    if (fault !== undefined) throw new BackendError('CANNOT', fault)
    if (this.#mailboxes.has(name)) throw new BackendError('ALREADYEXISTS', `The mailbox ${name} exists already`)
    if (role !== undefined && (role === 'Inbox' || [...this.#roles.values()].includes(role))) {
      throw new BackendError('USEATTR', `Another mailbox is \\${role} already`)
    }
    for (const parent of parents(name)) if (!this.#mailboxes.has(parent)) this.#make(parent)
    this.#make(name)
    if (role !== undefined) this.#roles.set(name, role)
    this.#tell(undefined)
    return this.#entry(name)
  }

  #delete(wanted: string): void {
    const name = canonicalName(wanted)
    if (name === 'INBOX') throw new BackendError('CANNOT', 'INBOX cannot be deleted')
    this.#find(name, 'NONEXISTENT').destroy()
    this.#mailboxes.delete(name)
    this.#roles.delete(name)
    this.#tell(undefined)
  }

  #rename(wantedFrom: string, wantedTo: string): void {
    const from = canonicalName(wantedFrom)
    const to = canonicalName(wantedTo)
    const below = [...this.#mailboxes.keys()].filter((name) => name.startsWith(`${from}/`))
    const source = this.#mailboxes.get(from)
    if (source === undefined && below.length === 0) throw new BackendError('NONEXISTENT', `There is no mailbox ${from}`)
    const fault = nameFault(to)
    if (fault !== undefined) throw new BackendError('CANNOT', fault)
    if (to.startsWith(`${from}/`) && from !== 'INBOX')
      throw new BackendError('CANNOT', 'A mailbox cannot move into its own child')
    if (from === 'INBOX' && source !== undefined) {
      this.#create(to, undefined)
      this.#find(to, 'NONEXISTENT').takeAll(source)
      return
    }
    if (this.#mailboxes.has(to)) throw new BackendError('ALREADYEXISTS', `The mailbox ${to} exists already`)
    for (const parent of parents(to)) if (!this.#mailboxes.has(parent)) this.#make(parent)
    for (const name of source === undefined ? below : [from, ...below]) {
      const mailbox = this.#find(name, 'NONEXISTENT')
      const next = to + name.slice(from.length)
      const role = this.#roles.get(name)
      this.#mailboxes.delete(name)
      this.#roles.delete(name)
      mailbox.name = next
      this.#mailboxes.set(next, mailbox)
      if (role !== undefined) this.#roles.set(next, role)
    }
    this.#tell(undefined)
  }

  #message(bytes: Uint8Array): StoredMessage {
    const id = this.#clock.emailId()
    return { bytes, rendered: undefined, emailId: id, threadId: `T${id}` }
  }

  #append(name: string, messages: readonly AppendMessage[], instead = 0): AppendResult {
    const mailbox = this.#find(name, 'TRYCREATE')
    let used = -instead
    for (const held of this.#mailboxes.values()) used += held.status().size
    for (const { bytes } of messages) {
      if (bytes.length > this.appendLimit)
        throw new BackendError('TOOBIG', `Messages may have ${this.appendLimit} octets at most`)
      used += bytes.length
    }
    if (used > this.#quota) throw new BackendError('OVERQUOTA', 'The mailbox is full')
    const uids = mailbox.add(
      messages.map(({ bytes, flags, internalDate, zone }) => ({
        flags,
        internalDate: internalDate ?? Math.floor(this.#now() / 1000) * 1000,
        zone: zone ?? 0,
        message: this.#message(new Uint8Array(bytes)),
      })),
    )
    return { uidValidity: mailbox.uidValidity, uids }
  }
}

/** `a/b/c` → `a`, `a/b`. */
function parents(name: string): string[] {
  const levels = name.split('/')
  return levels.slice(1).map((_, i) => levels.slice(0, i + 1).join('/'))
}
