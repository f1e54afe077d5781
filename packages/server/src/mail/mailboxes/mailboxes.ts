// The mailboxes of all accounts: where mail is delivered, and what IMAP opens.

import { BackendError, type FlagSet, type MailAccount, type MailboxRole } from '@aviso/imap'
import type { Account, AccountRoom } from '../../accounts/contracts.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Store } from '../../store/contracts.ts'
import { type AccountSurroundings, StoredMailAccount } from './account.ts'
import { answered } from './answers.ts'
import type { AppendLimits } from './append-limits.ts'
import { Caches } from './cache.ts'
import { CatchUp, renderStale } from './catch-up.ts'
import type { Finding } from './check-operations.ts'
import { examine } from './doctor.ts'
import { type Import, importInto } from './import.ts'
import type { Imported } from './import-operations.ts'
import { LargeMessages } from './large-messages.ts'
import { mailboxId, type SharedRoom } from './mailbox.ts'
import { roomier, type Sizes } from './message-sizes.ts'
import { canonicalName } from './names.ts'
import { News } from './news.ts'
import type { Source } from './pieces.ts'
import { type Limits, NO_LIMITS, type QuotaChange, type Usage } from './quota.ts'
import { RecentClaims } from './recent.ts'
import { Indexer } from './search/indexer.ts'
import { SharedMailAccount } from './sharing/shared-account.ts'
import { type Neighbours, Sharing } from './sharing/sharing.ts'
import { Snapshots } from './snapshots.ts'
import { mailStore } from './store.ts'

/** One message for one account. */
export interface Delivery {
  readonly bytes: Uint8Array
  /** Default INBOX. Made when it is missing. */
  readonly mailbox?: string
  /** The mailbox that has this role, whatever its owner calls it, goes before the one of that name. */
  readonly role?: MailboxRole
  readonly flags?: FlagSet
  /** Milliseconds since the epoch; default now. */
  readonly internalDate?: number
  /** Names this delivery: the same id for the same account delivers once, however often it is tried within some days. */
  readonly deliveryId: string
}

export interface Delivered {
  readonly uid: number
  readonly mailboxId: string
}

export interface MessageLimit {
  readonly octets: number
  /** The mailbox, or the account where none was named, has a limit of its own; it may be that another one is smaller. */
  readonly own: boolean
}

/** The mail of this server's accounts. */
export interface Mailboxes {
  /** Resolves when the message is safe from power loss. Rejects with `BackendError`: TOOBIG for ever, anything else means: try again later. */
  deliver(accountId: string, delivery: Delivery): Promise<Delivered>
  /** Takes messages from elsewhere, all or none, and each once however often it is tried. Rejects with `BackendError`. */
  import(accountId: string, order: Import): Promise<readonly Imported[]>
  /** Forgets which messages were imported. */
  forgetImports(accountId: string): Promise<void>
  /** The account's mail for one IMAP session. Makes no I/O. */
  open(account: Account): MailAccount
  /** Somebody who reads this account's mail has logged in: what is asked first, INBOX, is got ready meanwhile. Only the first time. */
  expect(accountId: string): void
  /** Lets go of what nobody needs any more: contents and history of expunged messages, unused blobs, old delivery ids. True when something is left that falls due later. */
  sweep(accountId: string): Promise<boolean>
  /** Renders everything that an older Aviso left; it also comes by itself, in the background. */
  catchUp(accountId: string): Promise<void>
  /** Looks at everything that the account's mail is made of; with `repair`, puts right what can be computed anew. */
  examine(accountId: string, repair: boolean): AsyncIterable<Finding>
  /** What the account holds and may hold. */
  quota(accountId: string): Promise<Usage>
  /** Changes the account's own limits. */
  setQuota(accountId: string, change: QuotaChange): Promise<Usage>
  /** The largest message that comes into a mailbox, or into any of the account, and whose limit that is. Rejects with `BackendError`. */
  messageLimit(accountId: string, mailbox: string | undefined): Promise<MessageLimit>
  /** Gives a mailbox or the account a limit of its own, below the server's; undefined takes it away. Rejects with `BackendError`. */
  limitMessages(accountId: string, mailbox: string | undefined, octets: number | undefined): Promise<void>
  /** Brings the account's text index up to date; in the background it follows by itself. */
  index(accountId: string): Promise<void>
  /** Makes the account's text index anew. Searches are exact meanwhile, but slow. */
  reindex(accountId: string): Promise<void>
  /** Makes INBOX and the special-use mailboxes of a new account. */
  readonly room: AccountRoom
}

export const Mailboxes = serviceKey<Mailboxes>('mailboxes')

/** What the generations of the configuration share: the lock around blobs must be one, and the memory for snapshots and caches need be. */
const Shared = serviceKey<SharedRoom>('mailboxes-shared')

export interface MailboxesOptions {
  /** With whom mailboxes can be shared. Absent: nobody. */
  readonly neighbours?: Neighbours
  /** Octets; default 64 MiB. */
  readonly appendLimit?: number
  /** Limits of accounts and mailboxes on the size of a message. Absent: there are none. */
  readonly appendLimits?: AppendLimits
  /** For accounts that have none of their own; default none. */
  readonly limits?: Limits
  /** Memory for what sessions derive of mailboxes, in octets; default 32 MiB. */
  readonly cacheOctets?: number
  /** Memory for snapshots of mailboxes in use, in octets; default 48 MiB. */
  readonly snapshotOctets?: number
  /** Expunged messages stay readable for sessions that have not been told; milliseconds, default one day. */
  readonly keepContent?: number
  /** How long expunges and delivery ids are remembered; milliseconds, default seven days. */
  readonly keepHistory?: number
  /** Expunges remembered for each mailbox; default 100 000. */
  readonly historyRows?: number
  /** How often the accounts in use are swept; milliseconds, default one hour. */
  readonly sweepEvery?: number
}

const DAY = 86_400_000

/** A mail that was accepted at the limit has grown by its trace fields (RFC 5321 §4.4) when it is delivered. */
const TRACE_OCTETS = 64 * 1024

/** RFC 6154: what mail clients look for. */
const SPECIAL_USE: readonly { readonly name: string; readonly role: MailboxRole }[] = [
  { name: 'Drafts', role: 'Drafts' },
  { name: 'Sent', role: 'Sent' },
  { name: 'Junk', role: 'Junk' },
  { name: 'Trash', role: 'Trash' },
  { name: 'Archive', role: 'Archive' },
]

/** The mailboxes kept in `store`, until `scope` closes. */
export function openMailboxes(scope: Scope, store: Store, options: MailboxesOptions = {}): Mailboxes {
  const appendLimit = options.appendLimit ?? 64 * 1024 * 1024
  const keepContent = options.keepContent ?? DAY
  const keepHistory = options.keepHistory ?? 7 * DAY
  const shared = scope.keep(Shared, (kept) => ({
    large: new LargeMessages(store),
    snapshots: new Snapshots(kept, options.snapshotOctets ?? 48 * 1024 * 1024, new News(store.bus)),
    caches: new Caches(options.cacheOctets ?? 32 * 1024 * 1024),
    recent: new RecentClaims(kept, store),
  }))
  const limits = options.limits ?? NO_LIMITS
  const sizesOf = (accountId: string): Sizes | undefined => options.appendLimits?.of(accountId)
  /** Bounds of what is not brought by a client: mail that was taken has grown on its way. */
  const boundsOf = (accountId: string, grown: number) => ({ ...limits, sizes: roomier(sizesOf(accountId), grown) })
  /** Number of a mailbox that is there. */
  const numberOf = async (accountId: string, name: string): Promise<number> =>
    (await answered(store.account(mailStore, accountId).find({ name: canonicalName(name) }))).id
  const source = (accountId: string): Source => ({
    calls: store.account(mailStore, accountId),
    blobs: store.accountBlobs(accountId),
  })
  const catchUp = new CatchUp(scope, source)
  const touched = new Set<string>()
  const expected = new Set<string>()
  const indexer = new Indexer(scope, store)
  const touch = (accountId: string): void => {
    touched.add(accountId)
    catchUp.see(accountId)
    indexer.follow(accountId)
  }

  const sweep = async (accountId: string): Promise<boolean> => {
    const calls = store.account(mailStore, accountId)
    for (;;) {
      const now = scope.clock.now()
      const { more, later } = await answered(
        calls.sweep({
          contentBefore: now - keepContent,
          historyBefore: now - keepHistory,
          historyRows: options.historyRows ?? 100_000,
          deliveriesBefore: now - keepHistory,
        }),
      )
      if (more) continue
      await (await shared).large.release(accountId)
      return later
    }
  }

  scope.interval(options.sweepEvery ?? 3_600_000, async () => {
    for (const accountId of touched) {
      if (scope.signal.aborted) return
      try {
        if (!(await sweep(accountId))) touched.delete(accountId)
      } catch (error) {
        scope.log.warn({ err: error, account: accountId }, 'sweeping the mailboxes failed')
      }
    }
  })

  const surroundings = (account: Account): AccountSurroundings => ({
    ...source(account.id),
    name: account.address,
    account: account.id,
    holder: account.id,
    appendLimit,
    limits,
    bus: store.bus,
    shared,
    used: () => {
      touch(account.id)
      void sharing?.heal(account)
    },
    grown: (messages) => indexer.grown(account.id, messages),
    sizes: () => sizesOf(account.id),
    dropped: async (mailbox) => options.appendLimits?.set(account.id, mailbox, undefined),
  })
  const sharing = options.neighbours === undefined ? undefined : new Sharing(scope, store, options.neighbours)

  return {
    async deliver(accountId, { bytes, mailbox = 'INBOX', role, flags = [], internalDate, deliveryId }) {
      if (bytes.byteLength > appendLimit + TRACE_OCTETS)
        throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
      touch(accountId)
      const { large, snapshots } = await shared
      const calls = store.account(mailStore, accountId)
      const placed = await large.keep(accountId, [bytes], ([message]) => {
        if (message === undefined) throw new Error('a message was lost on its way to the store')
        return answered(
          calls.deliver({
            mailbox,
            role,
            deliveryId,
            message: { message, flags, internalDate, zone: undefined },
            limits: boundsOf(accountId, TRACE_OCTETS),
          }),
        )
      })
      snapshots.changed(accountId, calls, placed.mailbox, 1)
      return { uid: placed.uid, mailboxId: mailboxId(accountId, placed.mailbox) }
    },

    async import(accountId, order) {
      touch(accountId)
      const calls = store.account(mailStore, accountId)
      const imported = await importInto(accountId, calls, await shared, order, {
        appendLimit,
        limits: boundsOf(accountId, 0),
      })
      await indexer.grown(accountId, imported.length)
      return imported
    },

    async forgetImports(accountId) {
      while (await answered(store.account(mailStore, accountId).forgetImports()));
    },

    open(account) {
      if (sharing === undefined) return new StoredMailAccount(surroundings(account))
      return new SharedMailAccount({
        account,
        sharing,
        bus: store.bus,
        surroundings,
        log: (error) =>
          scope.log.warn({ err: error, account: account.id }, 'changes of shared mailboxes are not heard'),
      })
    },

    expect(accountId) {
      if (expected.has(accountId)) return
      expected.add(accountId)
      const getReady = async (): Promise<void> => {
        const { snapshots } = await shared
        const calls = store.account(mailStore, accountId)
        const { id } = await calls.find({ name: 'INBOX' })
        await snapshots.snapshot(accountId, calls, id)
      }
      // Whoever asks is told what is the matter.
      getReady().catch((error: unknown) => scope.log.debug({ err: error, account: accountId }, 'INBOX is not ready'))
    },

    sweep,
    index: (accountId) => indexer.catchUp(accountId),
    reindex: (accountId) => indexer.reindex(accountId),

    async catchUp(accountId) {
      while (await renderStale(source(accountId)));
    },

    async *examine(accountId, repair) {
      yield* examine({ account: accountId, source: source(accountId), large: (await shared).large, repair })
    },

    quota: (accountId) => answered(store.account(mailStore, accountId).quota({ limits })),
    setQuota: (accountId, change) => answered(store.account(mailStore, accountId).setQuota({ change, limits })),

    async messageLimit(accountId, mailbox) {
      const sizes = sizesOf(accountId)
      const ofAccount = Math.min(appendLimit, sizes?.account ?? Infinity)
      if (mailbox === undefined) return { octets: ofAccount, own: sizes?.account !== undefined }
      const own = sizes?.mailboxes.get(await numberOf(accountId, mailbox))
      return { octets: Math.min(ofAccount, own ?? Infinity), own: own !== undefined }
    },

    async limitMessages(accountId, mailbox, octets) {
      if (octets !== undefined && octets > appendLimit)
        throw new BackendError('CANNOT', `The server takes messages of ${appendLimit} octets at most`)
      const number = mailbox === undefined ? undefined : await numberOf(accountId, mailbox)
      await options.appendLimits?.set(accountId, number, octets)
    },

    room: {
      name: 'mailboxes',
      create: (account) => answered(store.account(mailStore, account.id).prepare({ mailboxes: SPECIAL_USE })),
      async erase(account) {
        touched.delete(account.id)
        expected.delete(account.id)
        catchUp.forget(account.id)
        indexer.drop(account.id)
        ;(await shared).snapshots.news.forget(account.id)
        await options.appendLimits?.forget(account.id)
        await sharing?.erase(account)
      },
    },
  }
}
