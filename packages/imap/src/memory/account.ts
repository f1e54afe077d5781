// Mail of one user kept in memory. Every session opens its own `MailAccount` on it.

import { Headers } from '@aviso/mime'
import {
  ALL_RIGHTS,
  BackendError,
  type AppendMessage,
  type FlagSet,
  type MailAccount,
  type Mailbox,
  type MailboxEntry,
  type MailboxRole,
  type QuotaResource,
  type Rights,
} from '../backend.ts'
import { messageKeys } from '../render/keys.ts'
import { ThreadIds } from '../render/thread-ids.ts'
import { canonicalName, nameFault } from '../wire/mailbox-name.ts'
import { Annotations } from './annotations.ts'
import { type Arrival, MemoryMailbox, type StoredMessage } from './mailbox.ts'
import { MemorySession } from './session.ts'

/** What a mail store in memory begins with. */
export interface MemoryMailOptions {
  readonly name?: string
  /** Octets; default 1 MiB. */
  readonly appendLimit?: number
  /** Octets of all messages; APPEND and COPY beyond it are refused with OVERQUOTA. */
  readonly quota?: number
  /** Keywords that can be kept; default 1000. */
  readonly keywords?: number
  /** Milliseconds since the epoch, for INTERNALDATE and SAVEDATE. */
  readonly now?: () => number
  /** Mailboxes there from the start, beside INBOX. */
  readonly mailboxes?: Readonly<Record<string, MailboxRole | undefined>>
  /** Users who may share mailboxes (RFC 4314), by name; this one is put among them. Absent: no access lists. */
  readonly users?: Map<string, MemoryMail>
}

/** One user's mail. Lost with the process. */
export class MemoryMail {
  readonly name: string
  readonly appendLimit: number
  readonly now: () => number
  /** The users who may share mailboxes, this one among them. */
  readonly users: ReadonlyMap<string, MemoryMail> | undefined
  /** Names, which may outlive their mailboxes, and those of others. */
  readonly subscribed = new Set<string>()
  readonly annotations = new Annotations()
  /** Mailboxes as this user has them open, one for all sessions: a test can put a fault into it. */
  readonly opened = new WeakMap<MemoryMailbox, Mailbox>()
  #limits = new Map<QuotaResource['resource'], number>()
  #mostKeywords: number
  #mailboxes = new Map<string, MemoryMailbox>()
  #roles = new Map<MemoryMailbox, MailboxRole>()
  #listeners = new Set<Parameters<MailAccount['watch']>[0]>()
  #keywords = new Map<string, string>()
  #threads = new ThreadIds()
  #octetLimit: number
  #modseq = 0
  #made = 0
  #emails = 0
  #uidValidity = 1000

  constructor(options: MemoryMailOptions = {}) {
    this.name = options.name ?? 'test'
    this.appendLimit = options.appendLimit ?? 1_048_576
    this.now = options.now ?? Date.now
    this.#octetLimit = options.quota ?? Infinity
    this.#mostKeywords = options.keywords ?? 1000
    this.users = options.users
    options.users?.set(this.name, this)
    this.#make('INBOX')
    for (const [name, role] of Object.entries(options.mailboxes ?? {})) {
      const mailbox = this.#make(name)
      if (role !== undefined) this.#roles.set(mailbox, role)
    }
  }

  /** What a session gets at login. */
  open(): MailAccount {
    return new MemorySession(this)
  }

  /** Sets the limit of a resource, in its own unit; undefined: none. */
  limit(resource: QuotaResource['resource'], limit: number | undefined): void {
    if (resource === 'STORAGE') this.#octetLimit = limit === undefined ? Infinity : limit * 1024
    else if (limit === undefined) this.#limits.delete(resource)
    else this.#limits.set(resource, limit)
  }

  /** Sets the largest message that a mailbox takes, in octets; undefined: as the account says. */
  limitMessages(name: string, octets: number | undefined): void {
    const mailbox = this.find(name)
    if (mailbox === undefined) throw new BackendError('NONEXISTENT', `There is no mailbox ${name}`)
    mailbox.appendLimit = octets
  }

  /** Listeners still registered: sessions that have not been closed. */
  get watchers(): number {
    return this.#listeners.size
  }

  /** Calls the listener for each change, see `MailAccount.watch`. Returns the way to stop. */
  watch(listener: Parameters<MailAccount['watch']>[0]): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells the sessions of this user, and of those who may see the mailbox. */
  tell(id: string | undefined, annotations?: readonly string[]): void {
    this.hear(id, annotations)
    const mailbox = [...this.#mailboxes.values()].find((one) => one.id === id)
    for (const user of mailbox?.acl.keys() ?? []) this.users?.get(user)?.hear(id, annotations)
  }

  /** Passes on what happened in the mail of another user. */
  hear(id: string | undefined, annotations?: readonly string[]): void {
    for (const listener of this.#listeners) listener(id, annotations)
  }

  /** The modseq of the next change (RFC 7162). */
  nextModseq(): number {
    return ++this.#modseq
  }

  /** Flags with keywords in their first spelling, each once. LIMIT when a keyword more cannot be kept. */
  spell(flags: FlagSet): FlagSet {
    const fresh = new Map<string, string>()
    for (const flag of flags) {
      const key = flag.toLowerCase()
      if (!flag.startsWith('\\') && !this.#keywords.has(key) && !fresh.has(key)) fresh.set(key, flag)
    }
    if (this.#keywords.size + fresh.size > this.#mostKeywords)
      throw new BackendError('LIMIT', `No more than ${this.#mostKeywords} keywords can be kept`)
    for (const [key, flag] of fresh) this.#keywords.set(key, flag)
    return this.known(flags)
  }

  /** The same of keywords that are kept already; the others fall away. */
  known(flags: FlagSet): FlagSet {
    const spelt = flags.map((flag) => (flag.startsWith('\\') ? flag : this.#keywords.get(flag.toLowerCase())))
    return [...new Set(spelt)].filter((flag) => flag !== undefined)
  }

  /** All keywords that are kept, as they were spelt first. */
  keywords(): readonly string[] {
    return [...this.#keywords.values()]
  }

  /** All mailboxes. */
  get mailboxes(): Iterable<MemoryMailbox> {
    return this.#mailboxes.values()
  }

  /** The mailbox of that name; undefined for none. */
  find(name: string): MemoryMailbox | undefined {
    return this.#mailboxes.get(canonicalName(name))
  }

  /** What a user may do with a mailbox of this one; '' where it is not shared with them. */
  rightsOf(user: MemoryMail, mailbox: MemoryMailbox): Rights {
    return user === this ? ALL_RIGHTS : (mailbox.acl.get(user.name) ?? '')
  }

  /** A name as it is listed, whether there is a mailbox or only a subscription. */
  entry(name: string, mailbox: MemoryMailbox | undefined, subscribed: boolean): MailboxEntry {
    const role = mailbox?.name === 'INBOX' ? 'Inbox' : mailbox && this.#roles.get(mailbox)
    return { id: mailbox?.id ?? '', name, role, subscribed, selectable: mailbox !== undefined }
  }

  #make(name: string): MemoryMailbox {
    const id =
      this.users === undefined ? `M${++this.#made}` : `M${++this.#made}-${Buffer.from(this.name).toString('hex')}`
    const mailbox = new MemoryMailbox(this, id, name, ++this.#uidValidity)
    this.#mailboxes.set(name, mailbox)
    return mailbox
  }

  /** Makes a mailbox and what is missing above it. @throws BackendError CANNOT, ALREADYEXISTS, USEATTR or OVERQUOTA */
  create(wanted: string, role: MailboxRole | undefined): MemoryMailbox {
    const name = canonicalName(wanted)
    const fault = nameFault(name)
    if (fault !== undefined) throw new BackendError('CANNOT', fault)
    if (this.#mailboxes.has(name)) throw new BackendError('ALREADYEXISTS', `The mailbox ${name} exists already`)
    if (role !== undefined && (role === 'Inbox' || [...this.#roles.values()].includes(role))) {
      throw new BackendError('USEATTR', `Another mailbox is \\${role} already`)
    }
    const missing = [...parents(name), name].filter((one) => !this.#mailboxes.has(one))
    const most = this.#limits.get('MAILBOX') ?? Infinity
    if (this.#mailboxes.size + missing.length > most)
      throw new BackendError('OVERQUOTA', `No more than ${most} mailboxes can be kept`)
    for (const one of missing) {
      // Who may do something with a mailbox may do it below, until somebody says otherwise.
      const parent = this.#mailboxes.get(one.slice(0, Math.max(0, one.lastIndexOf('/'))))
      const made = this.#make(one)
      for (const [user, rights] of parent?.acl ?? []) made.acl.set(user, rights)
    }
    const mailbox = this.#mailboxes.get(name) as MemoryMailbox
    if (role !== undefined) this.#roles.set(mailbox, role)
    this.tell(undefined)
    return mailbox
  }

  /** Deletes a mailbox with its messages. @throws BackendError CANNOT for INBOX */
  delete(mailbox: MemoryMailbox): void {
    if (mailbox.name === 'INBOX') throw new BackendError('CANNOT', 'INBOX cannot be deleted')
    const users = [...mailbox.acl.keys()]
    mailbox.destroy()
    this.#mailboxes.delete(mailbox.name)
    this.#roles.delete(mailbox)
    this.tell(undefined)
    for (const user of users) this.users?.get(user)?.hear(undefined)
  }

  /** Renames a mailbox and all below it; INBOX stays, and its messages move (RFC 9051 §6.3.6). @throws BackendError NONEXISTENT, CANNOT or ALREADYEXISTS */
  rename(wantedFrom: string, wantedTo: string): void {
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
      const messages = source.rows([...source.snapshot().uids])
      this.create(to, undefined).add(messages)
      source.remove(messages.map(({ uid }) => uid))
      return
    }
    if (this.#mailboxes.has(to)) throw new BackendError('ALREADYEXISTS', `The mailbox ${to} exists already`)
    for (const parent of parents(to)) if (!this.#mailboxes.has(parent)) this.#make(parent)
    for (const name of source === undefined ? below : [from, ...below]) {
      const mailbox = this.#mailboxes.get(name) as MemoryMailbox
      this.#mailboxes.delete(name)
      mailbox.name = to + name.slice(from.length)
      this.#mailboxes.set(mailbox.name, mailbox)
    }
    this.tell(undefined)
  }

  #usage(): { octets: number; messages: number } {
    const usage = { octets: 0, messages: 0 }
    for (const mailbox of this.#mailboxes.values()) {
      usage.octets += mailbox.octets
      usage.messages += mailbox.messages
    }
    return usage
  }

  /** What is used and what may be: STORAGE in units of 1024 octets (RFC 9208 §5). */
  quota(): readonly QuotaResource[] {
    const { octets, messages } = this.#usage()
    const storage = this.#octetLimit === Infinity ? undefined : Math.ceil(this.#octetLimit / 1024)
    return [
      { resource: 'STORAGE', usage: Math.ceil(octets / 1024), limit: storage },
      { resource: 'MESSAGE', usage: messages, limit: this.#limits.get('MESSAGE') },
      { resource: 'MAILBOX', usage: this.#mailboxes.size, limit: this.#limits.get('MAILBOX') },
    ]
  }

  /** OVERQUOTA when messages of these sizes do not fit, once `instead` is gone. */
  reserve(sizes: readonly number[], instead: readonly number[] = []): void {
    const sum = (list: readonly number[]): number => list.reduce((total, size) => total + size, 0)
    const { octets, messages } = this.#usage()
    if (octets + sum(sizes) - sum(instead) > this.#octetLimit)
      throw new BackendError('OVERQUOTA', 'The mailbox is full')
    const most = this.#limits.get('MESSAGE') ?? Infinity
    if (messages + sizes.length - instead.length > most)
      throw new BackendError('OVERQUOTA', `No more than ${most} messages can be kept`)
  }

  /** Messages that a client gave, as they are put into a mailbox of this user. TOOBIG. */
  arrivals(messages: readonly AppendMessage[], { appendLimit }: MemoryMailbox): Arrival[] {
    const limit = Math.min(this.appendLimit, appendLimit ?? Infinity)
    for (const { bytes } of messages)
      if (bytes.length > limit) throw new BackendError('TOOBIG', `Messages may have ${limit} octets at most`)
    return messages.map(({ bytes, flags, internalDate, zone }) => ({
      flags,
      internalDate: internalDate ?? Math.floor(this.now() / 1000) * 1000,
      zone: zone ?? 0,
      message: this.stored(new Uint8Array(bytes), this.#emailId()),
    }))
  }

  /** A message of this account, in its thread. */
  stored(bytes: Uint8Array, emailId: string): StoredMessage {
    const { threading } = messageKeys(Headers.parse(bytes))
    return { bytes, rendered: undefined, emailId, thread: this.#threads.add(threading, `T${emailId}`) }
  }

  #emailId(): string {
    const id = `E${++this.#emails}`
    return this.users === undefined ? id : `${id}-${Buffer.from(this.name).toString('hex')}`
  }
}

/** `a/b/c` → `a`, `a/b`. */
export function parents(name: string): string[] {
  const levels = name.split('/')
  return levels.slice(1).map((_, i) => levels.slice(0, i + 1).join('/'))
}
