// Delivers to the mailboxes of local accounts.

import { BackendError, type FlagSet, LiteralBudget, type MailboxRole } from '@aviso/imap'
import { SmtpError } from '@aviso/smtp'
import type { Account } from '../../accounts/contracts.ts'
import type { Log } from '../../kernel/log.ts'
import type { Mailboxes } from '../mailboxes/mailboxes.ts'
import type { Delivery, Mail, MailTarget, Message, Outcome, Routed } from '../pipeline/contracts.ts'
import { asSmtpError } from '../pipeline/refusal.ts'
import { asText } from '../pipeline/text.ts'
import type { MailboxFilter } from './filter.ts'

/** Octets of long mails that are held in memory at the same time, on their way into mailboxes; the next ones wait for their turn. */
const MEMORY = 128 * 1024 * 1024

interface Filed {
  readonly mailbox: string
  /** The mailbox that has this role goes before the one of that name. */
  readonly role?: MailboxRole
  readonly flags: FlagSet | undefined
}

const INBOX: Filed = { mailbox: 'INBOX', flags: undefined }
const JUNK: Filed = { mailbox: 'Junk', role: 'Junk', flags: undefined }

export class MailboxTarget implements MailTarget {
  readonly queued = false
  readonly #mailboxes: Mailboxes
  readonly #filter: MailboxFilter | undefined
  readonly #memory: LiteralBudget

  /** `filter` chooses mailbox and flags of what is not quarantined; without one everything comes to INBOX. */
  constructor(mailboxes: Mailboxes, filter?: MailboxFilter, memory = MEMORY) {
    this.#mailboxes = mailboxes
    this.#filter = filter
    this.#memory = new LiteralBudget(memory)
  }

  begin(mail: Mail): Delivery {
    return new MailboxDelivery(this.#mailboxes, mail, this.#filter, this.#memory)
  }
}

class MailboxDelivery implements Delivery {
  readonly #mailboxes: Mailboxes
  readonly #mail: Mail
  readonly #filter: MailboxFilter | undefined
  readonly #recipients: { readonly account: Account; readonly routed: Routed }[] = []
  readonly #memory: LiteralBudget
  #message: Message | undefined
  #quarantined = false

  constructor(mailboxes: Mailboxes, mail: Mail, filter: MailboxFilter | undefined, memory: LiteralBudget) {
    this.#mailboxes = mailboxes
    this.#mail = mail
    this.#filter = filter
    this.#memory = memory
  }

  add(routed: Routed): void {
    if (routed.account === undefined)
      throw new SmtpError(550, '5.1.1', `${routed.address.toString()} is no mailbox here`)
    this.#recipients.push({ account: routed.account, routed })
  }

  body(message: Message, quarantined: boolean): void {
    this.#message = message
    this.#quarantined = quarantined
  }

  async commit(): Promise<readonly Outcome[]> {
    const message = this.#message
    if (message === undefined) throw new Error('a delivery without a body')
    const share = this.#memory.share()
    try {
      const converted = asText(this.#mail, message)
      const text = converted instanceof Promise ? await converted : converted
      await share.take(text.size)
      // RFC 5321 §4.4: the last server puts the reverse-path on top.
      const returnPath = Buffer.from(`Return-Path: <${this.#mail.sender?.toString() ?? ''}>\r\n`, 'utf8')
      const { pieces } = text
      const bytes = pieces === undefined ? await text.whole(returnPath) : Buffer.concat([returnPath, ...pieces])
      return await this.#deliverAll(message, bytes)
    } catch (error) {
      // Others may have the mail by now: that it cannot be read is no answer for all of them.
      this.#mail.client.log.error({ err: error, mail: this.#mail.id }, 'a mail cannot be read')
      const failure = asSmtpError(error)
      return this.#recipients.map(({ routed }) => ({ routed, failure }))
    } finally {
      share.release()
    }
  }

  abort(): void {
    this.#message = undefined
  }

  async #deliverAll(message: Message, bytes: Uint8Array): Promise<readonly Outcome[]> {
    const [only] = this.#recipients
    if (only !== undefined && this.#recipients.length === 1)
      return [{ routed: only.routed, failure: await this.#deliver(only.account, only.routed, message, bytes) }]
    // Two addresses of one account are one mailbox: it gets the mail once.
    const delivered = new Map<string, Promise<SmtpError | undefined>>()
    return Promise.all(
      this.#recipients.map(async ({ account, routed }): Promise<Outcome> => {
        let done = delivered.get(account.id)
        if (done === undefined) delivered.set(account.id, (done = this.#deliver(account, routed, message, bytes)))
        return { routed, failure: await done }
      }),
    )
  }

  async #deliver(
    account: Account,
    routed: Routed,
    message: Message,
    bytes: Uint8Array,
  ): Promise<SmtpError | undefined> {
    const { id, received, client } = this.#mail
    try {
      const { mailbox, role, flags } = this.#quarantined
        ? JUNK
        : this.#filter === undefined
          ? INBOX
          : await this.#file(this.#filter, account, routed, message)
      await this.#mailboxes.deliver(account.id, {
        bytes,
        mailbox,
        ...(role === undefined ? {} : { role }),
        flags: flags ?? [],
        internalDate: received,
        deliveryId: id,
      })
      return undefined
    } catch (error) {
      logFailure(client.log, id, account.id, error)
      return asSmtpError(error)
    }
  }

  /** Which mailbox it goes to. One that is not there is not made: whoever writes filters makes mistakes. */
  async #file(filter: MailboxFilter, account: Account, routed: Routed, message: Message): Promise<Filed> {
    const { mailbox, flags } = await filter.file(this.#mail, message, routed, account)
    if (mailbox === undefined || mailbox.toUpperCase() === 'INBOX') return { mailbox: 'INBOX', flags }
    if ((await this.#mailboxes.open(account).list()).some(({ name }) => name === mailbox)) return { mailbox, flags }
    this.#mail.client.log.warn(
      { mail: this.#mail.id, account: account.id, mailbox },
      'the filter chose a mailbox that is not there: the mail goes to INBOX',
    )
    return { mailbox: 'INBOX', flags }
  }
}

function logFailure(log: Log, mail: string, account: string, error: unknown): void {
  if (error instanceof BackendError && error.code === 'OVERQUOTA') log.info({ mail, account }, 'a mailbox is full')
  else log.error({ err: error, mail, account }, 'a mailbox could not take a mail')
}
