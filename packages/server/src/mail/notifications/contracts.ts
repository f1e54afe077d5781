// What a notification is made of.

import type { BodyType, MailParameters } from '@aviso/smtp'
import type { Message } from '../pipeline/message.ts'
import type { Fact, ReportKind } from '../targets/queue/contracts.ts'

/** One notification to the sender of a mail. */
export interface ReportParts {
  /** The notification's own id: its Message-ID. */
  readonly id: string
  readonly kind: ReportKind
  /** One for each recipient, at least one. */
  readonly facts: readonly Fact[]
  /** Our name: Reporting-MTA. */
  readonly hostname: string
  /** The domain that it comes from: MAILER-DAEMON there. */
  readonly domain: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly mail: {
    readonly created: number
    /** Whom it goes to. */
    readonly sender: string
    readonly parameters: MailParameters
    /** What is said of it and returned. Of a mail that is not kept whole this is its header only. */
    readonly message: Message
    /** Octets of the whole mail. */
    readonly size: number
  }
}

/** A notification ready to be sent, from `<>`. */
export interface Report {
  readonly bytes: Uint8Array
  readonly body: BodyType
  readonly smtpUtf8: boolean
}
