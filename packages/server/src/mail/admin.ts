// The administrators' door to mail.

import type { AppendMessage, FlagSet, MailAccount, Mailbox, MailboxEntry } from '@aviso/imap'
import type { AccountAdmin } from '../accounts/administration.ts'
import { AccountError } from '../accounts/errors.ts'
import { nearest } from '../kernel/nearest.ts'
import { asMailAdminError, isMissing, tooBig } from './admin-door/errors.ts'
import { takeAll } from './admin-door/import.ts'
import { entryOf, lineOf, noMailbox, same } from './admin-door/mailboxes.ts'
import { hint, pageOf, positions } from './admin-door/messages.ts'
import {
  type Examination,
  type ImportAnswer,
  type MailAdmin,
  MailAdminError,
  type MailboxLine,
  type MailImport,
  type MessagePage,
  type MessageQuery,
  type NewMail,
} from './administration.ts'
import type { Finding } from './mailboxes/check-operations.ts'
import type { Mailboxes, MessageLimit } from './mailboxes/mailboxes.ts'
import { Staging } from './transfer/staging.ts'

/** Messages that one change of the store takes, so that a command for a million keeps nobody waiting. */
const AT_ONCE = 5000
/** Findings that one examination lists: a disk that failed has no end of them. */
const MOST_FINDINGS = 1000

/** Makes the door to the mail of this server's accounts. Keep it: large messages come in over several calls. */
export function createMailAdmin(
  accounts: () => AccountAdmin,
  mailboxes: () => Mailboxes,
  appendLimit: () => number,
): MailAdmin {
  return new Door(accounts, mailboxes, appendLimit)
}

class Door implements MailAdmin {
  readonly #accounts: () => AccountAdmin
  readonly #mailboxes: () => Mailboxes
  readonly #limit: () => number
  readonly #staging = new Staging()

  constructor(accounts: () => AccountAdmin, mailboxes: () => Mailboxes, limit: () => number) {
    this.#accounts = accounts
    this.#mailboxes = mailboxes
    this.#limit = limit
  }

  get appendLimit(): number {
    return this.#limit()
  }

  mailboxes(address: string): Promise<readonly MailboxLine[]> {
    return this.#with(address, async (account) => {
      const lines: MailboxLine[] = []
      for (const entry of await account.list()) lines.push(await lineOf(account, entry))
      return lines
    })
  }

  mailbox(address: string, name: string): Promise<MailboxLine> {
    return this.#with(address, async (account) => {
      const entry = await entryOf(account, name)
      return lineOf(account, entry)
    })
  }

  createMailbox(address: string, name: string, role: MailboxEntry['role']): Promise<MailboxLine> {
    return this.#with(address, async (account) => {
      const made = await account.create(name, role)
      await account.subscribe(made.name, true)
      return lineOf(account, { ...made, subscribed: true })
    })
  }

  renameMailbox(address: string, from: string, to: string): Promise<void> {
    return this.#with(
      address,
      async (account) => {
        const before = await account.list()
        await account.rename(from, to)
        // IMAP leaves subscriptions to its clients, who rename them too; here nobody else will. INBOX stays where it is.
        if (same('INBOX', from)) return account.subscribe(to, true)
        for (const { name, subscribed } of before) {
          if (!subscribed || !(same(name, from) || name.startsWith(`${from}/`))) continue
          await account.subscribe(to + name.slice(from.length), true)
          await account.subscribe(name, false)
        }
        return undefined
      },
      from,
    )
  }

  deleteMailbox(address: string, name: string): Promise<void> {
    return this.#with(
      address,
      async (account) => {
        await account.delete(name)
        await account.subscribe(name, false)
      },
      name,
    )
  }

  subscribe(address: string, name: string, subscribed: boolean): Promise<void> {
    return this.#with(address, async (account) => {
      // IMAP lets anybody subscribe to anything; whoever types a name means one that is there.
      const entries = await account.list()
      if (!entries.some((entry) => same(entry.name, name))) throw noMailbox(name, entries)
      await account.subscribe(name, subscribed)
    })
  }

  messageLimit(
    address: string,
    name: string | undefined,
    change: number | 'default' | undefined,
  ): Promise<MessageLimit> {
    return this.#with(
      address,
      async () => {
        const { id } = await this.#account(address)
        const mailboxes = this.#mailboxes()
        if (change !== undefined) await mailboxes.limitMessages(id, name, change === 'default' ? undefined : change)
        return mailboxes.messageLimit(id, name)
      },
      name,
    )
  }

  messages(
    address: string,
    name: string,
    query: MessageQuery,
    page: { readonly after: number; readonly limit: number; readonly headers: boolean },
  ): Promise<MessagePage> {
    return this.#open(address, name, (mailbox) => pageOf(mailbox, query, page))
  }

  octets(address: string, name: string, uid: number, start: number, end?: number): Promise<Uint8Array | undefined> {
    return this.#open(address, name, (mailbox) => mailbox.raw(uid, start, end))
  }

  add(address: string, name: string, mail: NewMail): Promise<number> {
    return this.#with(address, async (account) => (await account.append(name, [this.#whole(mail)])).uids[0] ?? 0, name)
  }

  flag(address: string, name: string, uids: string, action: 'add' | 'remove' | 'set', flags: FlagSet): Promise<number> {
    return this.#each(address, name, uids, async (mailbox, some) => {
      await mailbox.store(some, { action, flags })
    })
  }

  copy(address: string, name: string, uids: string, to: string): Promise<number> {
    return this.#each(address, name, uids, (mailbox, some) => mailbox.copy(some, to), to)
  }

  move(address: string, name: string, uids: string, to: string): Promise<number> {
    return this.#each(address, name, uids, (mailbox, some) => mailbox.move(some, to), to)
  }

  expunge(address: string, name: string, uids: string): Promise<number> {
    return this.#each(address, name, uids, async (mailbox, some) => {
      await mailbox.store(some, { action: 'add', flags: ['\\Deleted'] })
      await mailbox.expunge(some)
    })
  }

  async stage(token: string, piece: Uint8Array, octets: number): Promise<void> {
    if (!Number.isInteger(octets) || octets < 0)
      throw new MailAdminError('invalid', 'a message has a number of octets that is whole')
    if (octets > this.appendLimit) throw tooBig(this.appendLimit)
    if (!this.#staging.add(token, piece, octets))
      throw new MailAdminError('invalid', `a message has more than the ${octets} octets that were said`)
  }

  staged(token: string): Uint8Array {
    const whole = this.#staging.take(token)
    if (whole === undefined)
      throw new MailAdminError('unavailable', 'the server no longer has the pieces of a message: send it again')
    return whole
  }

  async import(address: string, order: MailImport): Promise<readonly ImportAnswer[]> {
    const { id } = await this.#account(address)
    const entries = order.entries.map(({ key, nth, mail }) => ({
      key,
      nth,
      message: mail === undefined ? undefined : this.#whole(mail),
    }))
    return takeAll(entries, (part) => this.#mailboxes().import(id, { ...order, entries: part }))
  }

  async forgetImports(address: string): Promise<void> {
    const { id } = await this.#account(address)
    try {
      await this.#mailboxes().forgetImports(id)
    } catch (error) {
      throw asMailAdminError(error)
    }
  }

  async examine(address: string, repair: boolean): Promise<Examination> {
    const { id, address: name } = await this.#account(address)
    const findings: Finding[] = []
    let more = 0
    let open = 0
    try {
      for await (const finding of this.#mailboxes().examine(id, repair)) {
        if (!finding.repaired) open++
        if (findings.length < MOST_FINDINGS) findings.push(finding)
        else more++
      }
    } catch (error) {
      throw asMailAdminError(error)
    }
    return { address: name, findings, more, open }
  }

  #whole({ bytes, flags, date }: NewMail): AppendMessage {
    const whole = bytes instanceof Uint8Array ? bytes : this.staged(bytes.staged)
    if (whole.byteLength > this.appendLimit) throw tooBig(this.appendLimit)
    return { bytes: whole, flags, ...(date === undefined ? {} : { internalDate: date.time, zone: date.zone }) }
  }

  async #account(address: string) {
    try {
      return await this.#accounts().showAccount(address)
    } catch (error) {
      if (!(error instanceof AccountError) || error.code !== 'not-found') throw error
      const all = await this.#accounts().listAccounts({ limit: 1000 })
      const near = nearest(
        address,
        all.map((account) => account.address),
      )
      throw near === undefined
        ? error
        : new AccountError('not-found', `${error.message}. Did you mean ${near}?`, { cause: error })
    }
  }

  /** Runs `work` on the account's mail; `name` is the mailbox that it is about. */
  async #with<T>(address: string, work: (account: MailAccount) => Promise<T>, name?: string): Promise<T> {
    const account = this.#mailboxes().open(await this.#account(address))
    try {
      return await work(account)
    } catch (error) {
      if (name !== undefined && isMissing(error)) throw noMailbox(name, await account.list())
      throw asMailAdminError(error)
    } finally {
      account.close()
    }
  }

  async #open<T>(address: string, name: string, work: (mailbox: Mailbox) => Promise<T>): Promise<T> {
    return this.#with(address, async (account) => work(await account.open(name)), name)
  }

  /** Runs `work` for the messages of the set, some thousands at a time. Answers how many there were. `to`: the other mailbox that `work` is about. */
  #each(
    address: string,
    name: string,
    uids: string,
    work: (mailbox: Mailbox, some: readonly number[]) => Promise<unknown>,
    to?: string,
  ): Promise<number> {
    return this.#with(address, async (account) => {
      let mailbox: Mailbox
      try {
        mailbox = await account.open(name)
      } catch (error) {
        throw isMissing(error) ? noMailbox(name, await account.list()) : error
      }
      const snapshot = await mailbox.snapshot()
      let done = 0
      let some: number[] = []
      try {
        for (const at of positions(snapshot, { uids }, 0)) {
          some.push(snapshot.uids[at] ?? 0)
          if (some.length < AT_ONCE) continue
          await work(mailbox, some)
          done += some.length
          some = []
        }
        if (some.length > 0) await work(mailbox, some)
        done += some.length
      } catch (error) {
        if (to !== undefined && isMissing(error)) throw noMailbox(to, await account.list())
        throw error
      }
      if (done === 0) throw new MailAdminError('not-found', `${mailbox.name} has no message ${uids}${hint(snapshot)}`)
      return done
    })
  }
}
