// Delivers to the mailboxes of local accounts.

import { BackendError } from '@aviso/imap'
import { SmtpError } from '@aviso/smtp'
import type { Account } from '../../accounts/contracts.ts'
import type { Log } from '../../kernel/log.ts'
import type { Mailboxes } from '../mailboxes/mailboxes.ts'
import type { Delivery, Mail, MailTarget, Message, Outcome, Routed } from '../pipeline/contracts.ts'
import { asSmtpError } from '../pipeline/refusal.ts'

export class MailboxTarget implements MailTarget {
  readonly queued = false
  readonly #mailboxes: Mailboxes

  constructor(mailboxes: Mailboxes) {
    this.#mailboxes = mailboxes
  }

  begin(mail: Mail): Delivery {
    return new MailboxDelivery(this.#mailboxes, mail)
  }
}

class MailboxDelivery implements Delivery {
  readonly #mailboxes: Mailboxes
  readonly #mail: Mail
  readonly #recipients: { readonly account: Account; readonly routed: Routed }[] = []
  #bytes: Uint8Array | undefined
  #quarantined = false

  constructor(mailboxes: Mailboxes, mail: Mail) {
    this.#mailboxes = mailboxes
    this.#mail = mail
  }

  add(routed: Routed): void {
    if (routed.account === undefined)
      throw new SmtpError(550, '5.1.1', `${routed.address.toString()} is no mailbox here`)
    this.#recipients.push({ account: routed.account, routed })
  }

  async body(message: Message, quarantined: boolean): Promise<void> {
    // RFC 5321 §4.4: the last server puts the reverse-path on top.
    this.#bytes = await message.whole(Buffer.from(`Return-Path: <${this.#mail.sender?.toString() ?? ''}>\r\n`, 'utf8'))
    this.#quarantined = quarantined
  }

  async commit(): Promise<readonly Outcome[]> {
    // Two addresses of one account are one mailbox: it gets the mail once.
    const delivered = new Map<string, Promise<SmtpError | undefined>>()
    return Promise.all(
      this.#recipients.map(async ({ account, routed }): Promise<Outcome> => {
        let done = delivered.get(account.id)
        if (done === undefined)
          delivered.set(
            account.id,
            (done = deliver(
              this.#mailboxes,
              account.id,
              this.#mail,
              this.#bytes ?? new Uint8Array(),
              this.#quarantined,
            )),
          )
        return { routed, failure: await done }
      }),
    )
  }

  abort(): void {
    this.#bytes = undefined
  }
}

async function deliver(
  mailboxes: Mailboxes,
  account: string,
  mail: Mail,
  bytes: Uint8Array,
  quarantined: boolean,
): Promise<SmtpError | undefined> {
  try {
    await mailboxes.deliver(account, {
      bytes,
      mailbox: quarantined ? 'Junk' : 'INBOX',
      internalDate: mail.received,
      deliveryId: mail.id,
    })
    return undefined
  } catch (error) {
    logFailure(mail.client.log, mail.id, account, error)
    return asSmtpError(error)
  }
}

function logFailure(log: Log, mail: string, account: string, error: unknown): void {
  if (error instanceof BackendError && error.code === 'OVERQUOTA') log.info({ mail, account }, 'a mailbox is full')
  else log.error({ err: error, mail, account }, 'a mailbox could not take a mail')
}
