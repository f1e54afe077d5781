// RFC 5465: what a session is told without having asked just now. Also unsolicited METADATA responses (RFC 5464 §4.4.2).

import { BackendError, type MailAccount, type MailboxEntry, type MailboxStatus } from '../backend.ts'
import { type StatusItem, writeStatus } from '../commands/status.ts'
import { astring } from '../wire/encode.ts'
import { no } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import { ahead } from './ahead.ts'
import { Listing, parentsOf } from './listing.ts'
import { changeAttributes, nameChanges } from './name-changes.ts'
import {
  eventsOf,
  type MailboxEvents,
  NO_EVENTS,
  NOTHING,
  type NotifyRequest,
  type SelectedEvents,
  wantsAny,
} from './notify-request.ts'
import { allows } from './rights.ts'
import type { ImapServerSession } from './session.ts'

/** Changed annotations that wait to be told. */
const ANNOTATIONS = 1000

/** A mailbox that the client wants to hear of. */
interface Watched {
  readonly entry: MailboxEntry
  readonly events: MailboxEvents
  /** Its counts as the client was told them last, or knows them from elsewhere. */
  told: MailboxStatus | undefined
}

/** The notifications of one session. Before NOTIFY was used, all it does is remember annotations that changed, for clients that enabled METADATA. */
export class Notifications {
  readonly #session: ImapServerSession
  #request: NotifyRequest | undefined
  #listing: Listing | undefined
  /** By mailbox id: those with message events or annotations to tell. */
  #watched = new Map<string, Watched>()
  /** Ids of watched mailboxes in which something happened. */
  readonly #changed = new Set<string>()
  #namesChanged = false
  /** Mailbox id (undefined: the server) → entries. */
  readonly #annotations = new Map<string | undefined, Set<string>>()
  #annotationCount = 0
  /** Names whose change this client made itself. */
  #own: string[] = []
  readonly #ownAnnotations = new Set<string>()
  /** UIDs that this client put into the selected mailbox itself. */
  readonly #ownMessages = new Set<number>()
  #overflown = false

  constructor(session: ImapServerSession) {
    this.#session = session
  }

  /** True once NOTIFY SET asks for anything: then news are told between commands too. */
  get active(): boolean {
    return this.#overflown || (this.#request !== undefined && this.#request !== NOTHING)
  }

  /** `default`: NOTIFY was not used, so commands tell what is new in the selected mailbox. Undefined: nothing of it is wanted. */
  get selected(): SelectedEvents | 'default' | undefined {
    return this.#request === undefined ? 'default' : this.#request.selected
  }

  /** Something waits to be told by `tell`. */
  get pending(): boolean {
    return this.#overflown || this.#namesChanged || this.#changed.size > 0 || this.#annotations.size > 0
  }

  /** What the store's change feed says. */
  heard(id: string | undefined, annotations: readonly string[] | undefined): void {
    if (annotations !== undefined) {
      this.#heardAnnotations(id, annotations)
      return
    }
    if (!this.active) return
    if (id === undefined) this.#namesChanged = this.#listing !== undefined
    else if (this.#watched.get(id)?.events.messages === true) this.#changed.add(id)
  }

  #heardAnnotations(id: string | undefined, entries: readonly string[]): void {
    if (!this.#wantsAnnotations(id)) return
    const foreign = entries.filter((entry) => !this.#ownAnnotations.delete(annotationKey(id, entry)))
    if (foreign.length === 0) return
    let known = this.#annotations.get(id)
    if (known === undefined) this.#annotations.set(id, (known = new Set()))
    for (const entry of foreign) {
      if (known.has(entry)) continue
      known.add(entry)
      this.#annotationCount++
    }
    if (this.#annotationCount > ANNOTATIONS) this.#overflow()
  }

  #wantsAnnotations(id: string | undefined): boolean {
    if (this.#session.enabled.has('METADATA')) return true
    if (!this.active) return false
    return id === undefined ? this.#request?.serverMetadata === true : this.#watched.get(id)?.events.metadata === true
  }

  /** From here on, nothing is told unasked, of the selected mailbox neither. */
  none(): void {
    this.#request = NOTHING
    this.#forget()
  }

  /** RFC 5465 §3.1. Throws NO NOTIFICATIONOVERFLOW when that is more than can be watched; then everything is as it was. */
  async set(request: NotifyRequest, withStatus: boolean): Promise<void> {
    const { account } = this.#session
    const listing = request.groups.length === 0 ? undefined : new Listing(await account.list())
    if (listing !== undefined && listing.entries.length > this.#most)
      throw no(`No more than ${this.#most} mailboxes can be watched`, 'NOTIFICATIONOVERFLOW')
    this.#forget()
    this.#request = request
    this.#listing = listing
    if (listing === undefined) return
    const unreadable = this.#watch(listing)
    for (const { entry } of unreadable) {
      const attributes = changeAttributes(listing, {
        kind: 'access',
        entry,
        gone: false,
        noAccess: true,
        oldName: undefined,
      })
      this.#list(attributes, entry.name, undefined)
    }
    // What happens from here on is heard of; what the counts say already is then found to be no news.
    await this.#countAll(withStatus)
  }

  #forget(): void {
    this.#listing = undefined
    this.#watched = new Map()
    this.#changed.clear()
    this.#namesChanged = false
    this.#overflown = false
    this.#annotations.clear()
    this.#annotationCount = 0
    this.#own = []
    this.#ownMessages.clear()
  }

  #overflow(): void {
    this.none()
    this.#overflown = true
  }

  /** Chooses what is watched. Answers the mailboxes that were asked for and cannot be read. */
  #watch(listing: Listing): Watched[] {
    const { account } = this.#session
    const request = this.#request ?? NOTHING
    const before = this.#watched
    const unreadable: Watched[] = []
    this.#watched = new Map()
    for (const entry of listing.entries) {
      if (!entry.selectable) continue
      const events = eventsOf(request, account, entry)
      const watched = { entry, events, told: before.get(entry.id)?.told }
      if (!allows(entry.rights, 'r')) {
        if (wantsAny(events)) unreadable.push(watched)
      } else if (events.messages || events.metadata) {
        this.#watched.set(entry.id, watched)
      }
    }
    return unreadable
  }

  /** Learns the counts of what is watched, and tells them where the client asks for it. */
  async #countAll(tell: boolean): Promise<void> {
    const session = this.#session
    const counted = [...this.#watched.values()].filter(({ events, told }) => events.messages && told === undefined)
    for await (const { item, answer } of ahead(counted, ({ entry }) => session.account.status(entry.name))) {
      if ('error' in answer) {
        if (!(answer.error instanceof BackendError)) throw answer.error
        continue
      }
      item.told = answer.value
      if (session.winded) await session.breathe()
      if (!tell || item.entry.id === this.#selectedId) continue
      // RFC 5465 §3.1; HIGHESTMODSEQ whether or not the client has enabled CONDSTORE.
      const items: StatusItem[] = ['MESSAGES', 'UIDNEXT', 'UIDVALIDITY']
      if (item.events.flags) items.push('UNSEEN', 'HIGHESTMODSEQ')
      writeStatus(session, item.entry.name, items, { status: answer.value, recent: 0 })
    }
  }

  /** Mailboxes that can be watched over. */
  get #most(): number {
    return this.#session.limits.watched
  }

  get #selectedId(): string | undefined {
    return this.#session.selected ? this.#session.view.mailbox.id : undefined
  }

  /** This client is about to change these names itself, and what lies above and below them with it: no news to it (RFC 5465 §5). */
  ownNames(...names: readonly string[]): void {
    if (this.active) this.#own.push(...names)
  }

  /** This client is about to set these annotations itself. Call the answer when it is done. */
  ownAnnotations(id: string | undefined, entries: readonly string[]): () => void {
    const keys = entries.map((entry) => annotationKey(id, entry))
    for (const key of keys) this.#ownAnnotations.add(key)
    return () => keys.forEach((key) => this.#ownAnnotations.delete(key))
  }

  /** This client has put messages into the mailbox of that name itself: their FETCH would be no news (RFC 5465 §5.2). */
  ownMessages(mailbox: string, uids: readonly number[]): void {
    if (this.selected === undefined || !this.#session.selected || this.#session.view.name !== mailbox) return
    for (const uid of uids) this.#ownMessages.add(uid)
  }

  /** The UIDs among `added` (new in the selected mailbox) that others put there. */
  foreign(added: readonly number[]): number[] {
    return added.filter((uid) => !this.#ownMessages.delete(uid))
  }

  /** Another mailbox is selected now, or none. `untold`: something happened in the old one that the client has not heard. */
  selectionChanged(old: string | undefined, untold: boolean): void {
    this.#ownMessages.clear()
    if (old !== undefined && untold && this.#watched.has(old)) this.#changed.add(old)
  }

  /** Tells what is pending about other mailboxes, one round of it. What the store rejects with ends the round, and the rest stays pending. */
  async tell(): Promise<void> {
    const { out } = this.#session
    await out.room()
    if (this.#namesChanged) await this.#tellNames()
    if (this.#annotations.size > 0) await this.#tellAnnotations()
    if (this.#changed.size > 0) await this.#tellCounts()
    if (!this.#overflown) return
    this.#overflown = false
    out.untagged('OK [NOTIFICATIONOVERFLOW] There is more news than can be told: ask for less')
  }

  async #tellNames(): Promise<void> {
    const { account } = this.#session
    const before = this.#listing
    this.#namesChanged = false
    const own = this.#own
    this.#own = []
    let listing: Listing
    try {
      listing = new Listing(await account.list())
    } catch (error) {
      this.#namesChanged = true
      this.#own = own
      throw error
    }
    // NOTIFY may have ended meanwhile by overflowing.
    if (before === undefined || before !== this.#listing) return
    if (listing.entries.length > this.#most) {
      this.#overflow()
      return
    }
    this.#listing = listing
    const changes = nameChanges(before, listing)
    for (const change of changes) {
      const { entry, kind, oldName } = change
      if (isOwn(own, entry.name) || (oldName !== undefined && isOwn(own, oldName))) continue
      if (!this.#wantsChange(account, kind, entry, oldName)) continue
      this.#list(changeAttributes(listing, change), entry.name, oldName)
      if (this.#session.winded) await this.#session.breathe()
    }
    this.#watch(listing)
    // A mailbox that appeared with messages in it is news; an empty one begins to be watched in silence.
    const known = new Set([...this.#watched.values()].filter(({ told }) => told !== undefined))
    await this.#countAll(false)
    for (const watched of this.#watched.values()) {
      if (known.has(watched) || !watched.events.messages || (watched.told?.messages ?? 0) === 0) continue
      watched.told = undefined
      this.#changed.add(watched.entry.id)
    }
  }

  #wantsChange(account: MailAccount, kind: string, entry: MailboxEntry, oldName: string | undefined): boolean {
    const request = this.#request ?? NOTHING
    const now = eventsOf(request, account, entry)
    const before = oldName === undefined ? NO_EVENTS : eventsOf(request, account, { ...entry, name: oldName })
    // Who wants what changes among subscriptions wants to hear of one that ended, too.
    const subscribed = eventsOf(request, account, { ...entry, subscribed: true })
    if (kind === 'name') return now.names || before.names
    return kind === 'subscription' ? subscribed.subscriptions : wantsAny(now) || wantsAny(before)
  }

  #list(attributes: readonly string[], name: string, oldName: string | undefined): void {
    const { out, utf8 } = this.#session
    const extension = oldName === undefined ? '' : ` ("OLDNAME" (${writeMailboxName(oldName, utf8)}))`
    out.untagged(`LIST (${attributes.join(' ')}) "/" ${writeMailboxName(name, utf8)}${extension}`)
  }

  async #tellAnnotations(): Promise<void> {
    const { account, out, utf8 } = this.#session
    const annotations = new Map(this.#annotations)
    this.#annotations.clear()
    this.#annotationCount = 0
    const names = new Map<string, string>()
    if ([...annotations.keys()].some((id) => id !== undefined))
      for (const entry of new Listing(await account.list()).entries) names.set(entry.id, entry.name)
    for (const [id, entries] of annotations) {
      const name = id === undefined ? '' : names.get(id)
      if (name !== undefined)
        out.untagged(`METADATA ${writeMailboxName(name, utf8)} ${[...entries].map(astring).join(' ')}`)
    }
  }

  async #tellCounts(): Promise<void> {
    const session = this.#session
    const selected = this.#selectedId
    const ids = [...this.#changed]
    this.#changed.clear()
    const watched = ids.flatMap((id) => {
      const one = id === selected ? undefined : this.#watched.get(id)
      return one === undefined ? [] : [one]
    })
    for await (const { item, answer } of ahead(watched, ({ entry }) => session.account.status(entry.name))) {
      if ('error' in answer) {
        // Deleted or closed to this user meanwhile: the names tell.
        if (answer.error instanceof BackendError) continue
        this.#changed.add(item.entry.id)
        throw answer.error
      }
      const items = countsToTell(item, answer.value, session.condstore)
      item.told = answer.value
      if (items.length > 0) writeStatus(session, item.entry.name, items, { status: answer.value, recent: 0 })
      if (session.winded) await session.breathe()
    }
  }
}

/** RFC 5465 §5.1-5.3: which counts make the change known. None when it is nothing the client wants to hear. */
function countsToTell({ told, events }: Watched, now: MailboxStatus, condstore: boolean): StatusItem[] {
  const items = new Set<StatusItem>()
  const all = told === undefined || told.uidValidity !== now.uidValidity
  if (all || told.messages !== now.messages || told.uidNext !== now.uidNext) {
    items.add('MESSAGES').add('UIDNEXT')
    if (condstore) items.add('HIGHESTMODSEQ')
  }
  if (all) items.add('UIDVALIDITY')
  if (events.flags && (all || told.highestModseq !== now.highestModseq)) {
    if (condstore) items.add('HIGHESTMODSEQ').add('UIDVALIDITY')
    if (all || told.unseen !== now.unseen) items.add('UNSEEN')
  }
  return [...items]
}

function isOwn(own: readonly string[], name: string): boolean {
  return own.some((mine) => mine === name || name.startsWith(`${mine}/`) || parentsOf(mine).includes(name))
}

const annotationKey = (id: string | undefined, entry: string): string => `${id ?? ''}\n${entry}`
