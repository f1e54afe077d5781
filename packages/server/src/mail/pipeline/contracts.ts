// What the mail pipeline is made of: checks that look, modifiers that edit, targets that deliver.

import type { Headers, MailAddress } from '@aviso/mime'
import { type MailParameters, type RecipientParameters, SmtpError } from '@aviso/smtp'
import type { GenericSchema, InferOutput } from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { type AnyModule, defineFamily, defineModule } from '../../kernel/module.ts'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { TlsFacts } from '../../net/contracts.ts'

export type Awaitable<T> = T | Promise<T>

/** Who hands in the mail. */
export interface Client {
  /** The session's id and its log. */
  readonly session: string
  readonly log: Log
  /** `smtp`, `submission` ... */
  readonly protocol: string
  readonly remoteAddress: string
  /** The name in EHLO, HELO or LHLO. */
  readonly hello: string
  /** It greeted with EHLO or LHLO, not with HELO. */
  readonly extended: boolean
  readonly tls: TlsFacts | undefined
  /** Who logged in; undefined for a stranger. */
  readonly account: Account | undefined
}

/** One recipient of the envelope, as the client named it. */
export interface Recipient {
  readonly address: MailAddress
  readonly parameters: RecipientParameters
}

/** One mail on its way through the pipeline, as checks, modifiers and targets see it. */
export interface Mail {
  /** Names the mail in logs, in Received and in the queue; unique. */
  readonly id: string
  readonly client: Client
  /** The reverse-path; null for `<>`, a notification. */
  readonly sender: MailAddress | null
  readonly parameters: MailParameters
  /** Those accepted so far. */
  readonly recipients: readonly Recipient[]
  /** Milliseconds since the epoch. */
  readonly received: number
}

/** The message itself: as the client sent it, and its header parsed. */
export interface Content {
  readonly bytes: Uint8Array
  readonly header: Headers
}

/**
 * What a check thinks. `why` is for the log and the trace; the reply's text is for the sender.
 * The worst verdict of a stage counts: reject before defer before quarantine before accept. Quarantine sticks to the mail: it goes to Junk.
 */
export type Verdict =
  | { readonly action: 'accept'; readonly why?: string }
  | { readonly action: 'quarantine'; readonly why: string }
  | { readonly action: 'defer' | 'reject'; readonly reply: SmtpError; readonly why?: string }

export const accept = (why?: string): Verdict => (why === undefined ? { action: 'accept' } : { action: 'accept', why })
export const quarantine = (why: string): Verdict => ({ action: 'quarantine', why })
/** Refuses for good: a 5yz code. */
export const reject = (code: number, enhanced: string, text: string): Verdict => ({
  action: 'reject',
  reply: new SmtpError(code, enhanced, text),
})
/** Asks to try again later: a 4yz code. */
export const defer = (code: number, enhanced: string, text: string): Verdict => ({
  action: 'defer',
  reply: new SmtpError(code, enhanced, text),
})

/**
 * A check looks at a mail at one or more stages. The checks of one stage run side by side. One that throws, or takes longer than its time, counts as
 * *defer*: a mail is never let through because a check was broken.
 */
export interface MailCheck {
  /** At MAIL: client, hello and sender are known. */
  sender?(mail: Mail): Awaitable<Verdict>
  /** At RCPT. */
  recipient?(mail: Mail, recipient: Recipient): Awaitable<Verdict>
  /** At the end of the data. */
  content?(mail: Mail, content: Content): Awaitable<Verdict>
}

/** What a modifier does to the header. */
export interface HeaderEdit {
  /** Fields to put on top, each `Name: value` without its line end; the first one ends up topmost. */
  readonly prepend?: readonly string[]
  /** Names of fields to take out, all of that name. */
  readonly remove?: readonly string[]
}

/** A modifier edits the header after all checks have passed. Modifiers run one after the other, in the order of the config. */
export interface MailModifier {
  edit(mail: Mail, content: Content): Awaitable<HeaderEdit>
}

/** Where one recipient's mail goes, as the routing found out. */
export interface Routed {
  readonly recipient: Recipient
  /** The address to deliver to: the recipient's own, or what an alias made of it. */
  readonly address: MailAddress
  /** Set for the mailbox of a local account. */
  readonly account: Account | undefined
}

/** What became of one recipient. */
export interface Outcome {
  readonly routed: Routed
  /** Undefined: delivered, and safe. */
  readonly failure: SmtpError | undefined
}

/** One mail being delivered to one target, in four steps: `add` for each recipient, `body`, then `commit` or `abort`. */
export interface Delivery {
  /** Throws `SmtpError` when this recipient cannot be had. */
  add(routed: Routed): Awaitable<void>
  /** The message as it shall be stored or sent. `quarantined`: it goes to Junk. */
  body(bytes: Uint8Array, quarantined: boolean): Awaitable<void>
  /** Resolves when everything it reports as delivered is safe from power loss. One outcome for each recipient added. */
  commit(): Promise<readonly Outcome[]>
  /** Forgets everything. Never throws. */
  abort(): void
}

/** A place where mail can go. */
export interface MailTarget {
  begin(mail: Mail): Delivery
}

export const mailChecks = defineFamily<MailCheck>('checks', 'what looks at a mail before it is accepted')
export const mailModifiers = defineFamily<MailModifier>(
  'modifiers',
  'what edits the header of a mail that was accepted',
)

interface Declared<Instance, Schema extends GenericSchema> {
  readonly name: string
  readonly summary: string
  readonly config: Schema
  create(config: InferOutput<Schema>, scope: Scope): Awaitable<Instance>
}

/** Declares a check. */
export const mailCheck = <Schema extends GenericSchema>(check: Declared<MailCheck, Schema>): AnyModule<MailCheck> =>
  defineModule({ family: mailChecks, ...check })
/** Declares a modifier. */
export const mailModifier = <Schema extends GenericSchema>(
  modifier: Declared<MailModifier, Schema>,
): AnyModule<MailModifier> => defineModule({ family: mailModifiers, ...modifier })
