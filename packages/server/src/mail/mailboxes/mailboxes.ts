// The mailboxes of all accounts: where mail is delivered, and what IMAP opens.

import { type AppendMessage, BackendError, type FlagSet, type MailAccount, type MailboxRole } from '@aviso/imap'
import type { Account, AccountRoom } from '../../accounts/contracts.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import type { Store } from '../../store/contracts.ts'
import { StoredMailAccount } from './account.ts'
import { answered } from './answers.ts'
import type { Imported } from './import-operations.ts'
import { LargeMessages } from './large-messages.ts'
import { mailboxId } from './mailbox.ts'
import { Snapshots } from './snapshots.ts'
import { mailStore } from './store.ts'

/** One message for one account. */
export interface Delivery {
  readonly bytes: Uint8Array
  /** Default INBOX. Made when it is missing. */
  readonly mailbox?: string
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

/** Mail from elsewhere for one mailbox: see `importMessages`. */
export interface Import {
  readonly mailbox: string
  readonly run: number
  readonly entries: readonly {
    readonly key: Uint8Array
    readonly nth: number | undefined
    readonly message: AppendMessage | undefined
  }[]
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
  /** Lets go of what nobody needs any more: contents and history of expunged messages, unused blobs, old delivery ids. True when something is left that falls due later. */
  sweep(accountId: string): Promise<boolean>
  /** Makes INBOX and the special-use mailboxes of a new account. */
  readonly room: AccountRoom
}

export const Mailboxes = serviceKey<Mailboxes>('mailboxes')

/** What the generations of the configuration share: the lock around blobs must be one, and the snapshots need be. */
interface Shared {
  readonly large: LargeMessages
  readonly snapshots: Snapshots
}

const Shared = serviceKey<Shared>('mailboxes-shared')

export interface MailboxesOptions {
  /** Octets; default 64 MiB. */
  readonly appendLimit?: number
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
    snapshots: new Snapshots(kept.log, options.snapshotOctets ?? 48 * 1024 * 1024),
  }))
  const touched = new Set<string>()

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

  return {
    async deliver(accountId, { bytes, mailbox = 'INBOX', flags = [], internalDate, deliveryId }) {
      if (bytes.byteLength > appendLimit + TRACE_OCTETS)
        throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
      touched.add(accountId)
      const { large } = await shared
      const placed = await large.keep(accountId, [bytes], ([message]) => {
        if (message === undefined) throw new Error('a message was lost on its way to the store')
        return answered(
          store
            .account(mailStore, accountId)
            .deliver({ mailbox, deliveryId, message: { message, flags, internalDate } }),
        )
      })
      return { uid: placed.uid, mailboxId: mailboxId(placed.mailbox) }
    },

    async import(accountId, { mailbox, run, entries }) {
      const messages = entries.flatMap(({ message }) => (message === undefined ? [] : [message]))
      for (const { bytes } of messages)
        if (bytes.byteLength > appendLimit)
          throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
      touched.add(accountId)
      const { large } = await shared
      return large.keep(
        accountId,
        messages.map(({ bytes }) => bytes),
        (incoming) => {
          const waiting = incoming.values()
          return answered(
            store.account(mailStore, accountId).importMessages({
              mailbox,
              run,
              entries: entries.map(({ key, nth, message }) => {
                const kept = message === undefined ? undefined : waiting.next().value
                return {
                  key,
                  nth,
                  message:
                    message === undefined || kept === undefined
                      ? undefined
                      : { message: kept, flags: message.flags, internalDate: message.internalDate },
                }
              }),
            }),
          )
        },
      )
    },

    async forgetImports(accountId) {
      while (await answered(store.account(mailStore, accountId).forgetImports()));
    },

    open(account) {
      touched.add(account.id)
      return new StoredMailAccount({
        name: account.address,
        account: account.id,
        appendLimit,
        calls: store.account(mailStore, account.id),
        blobs: store.accountBlobs(account.id),
        bus: store.bus,
        shared,
      })
    },

    sweep,

    room: {
      name: 'mailboxes',
      create: (account) => answered(store.account(mailStore, account.id).prepare({ mailboxes: SPECIAL_USE })),
      async erase(account) {
        touched.delete(account.id)
      },
    },
  }
}
