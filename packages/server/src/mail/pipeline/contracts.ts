// What the mail pipeline is made of: checks that look, modifiers that edit, targets that deliver.

import type { MailAddress } from '@aviso/mime'
import { type MailParameters, type RecipientParameters, SmtpError } from '@aviso/smtp'
import type { GenericSchema, InferOutput } from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { type AnyModule, defineFamily, defineModule } from '../../kernel/module.ts'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type { TlsFacts } from '../../net/contracts.ts'
import type { HeaderEdit, Message } from './message.ts'
import type { Step } from './trace.ts'

export type { HeaderEdit, Message } from './message.ts'

export type Awaitable<T> = T | Promise<T>

/** Who hands in the mail. */
export interface Client {
  /** The session's id and its log. */
  readonly session: string
  readonly log: Log
  /** `smtp`, `submission`, `lmtp`; `queue` and `local` for mail that the server itself hands in. */
  readonly protocol: string
  /** '' for mail that no connection brought: checks that judge a peer accept it. */
  readonly remoteAddress: string
  /** The name in EHLO, HELO or LHLO. */
  readonly hello: string
  /** It greeted with EHLO or LHLO, not with HELO. */
  readonly extended: boolean
  readonly tls: TlsFacts | undefined
  /** Who logged in; undefined for a stranger. */
  readonly account: Account | undefined
  /** As {@link Mail.once}, for the whole session: what is found out of the peer once, such as the names of its address. */
  once<T>(finding: Finding<T>, make: () => Promise<T>): Promise<T>
}

/** One recipient of the envelope, as the client named it. */
export interface Recipient {
  readonly address: MailAddress
  readonly parameters: RecipientParameters
}

/** Names a value that is found out once and then shared by all checks and modifiers, such as the result of SPF. `T` is its type. */
export interface Finding<T> {
  readonly name: string
  /** Carries the type only; never set. */
  readonly contract?: T
}

/** Makes the name of a finding whose value is a `T`. */
export const finding = <T>(name: string): Finding<T> => ({ name })

/** One mail on its way through the pipeline, as checks, modifiers and targets see it. */
export interface Mail {
  /** Names the mail in logs, in Received, in the trace and in the queue; unique. */
  readonly id: string
  readonly client: Client
  /** The reverse-path as the client gave it: what checks judge. Null for `<>`, a notification. */
  readonly reversePath: MailAddress | null
  /** The reverse-path as modifiers made it: what targets send on. */
  readonly sender: MailAddress | null
  readonly parameters: MailParameters
  /** Those accepted so far. */
  readonly recipients: readonly Recipient[]
  /** Milliseconds since the epoch. */
  readonly received: number
  /** What checks found out, each a `resinfo` of RFC 8601 §2.2: `spf=pass smtp.mailfrom=example.org`. They go into our one Authentication-Results field. */
  readonly results: readonly string[]
  /** Only asked what would happen (`aviso mail simulate`): nothing may be remembered of it. */
  readonly simulated: boolean
  /** Simulated, but programs outside of the server are asked too, which may remember it. */
  readonly external: boolean
  /** The value of `finding`: made by whoever asks first, the same promise for all others. One that was rejected is made anew. */
  once<T>(finding: Finding<T>, make: () => Promise<T>): Promise<T>
}

/** What a check may add to its verdict, whatever that is. */
interface Besides {
  /** For the log and the trace; the reply's text is for the sender. */
  readonly why?: string
  /** Each a `resinfo` of RFC 8601 §2.2. */
  readonly results?: readonly string[]
  /** What to change in the message, before the modifiers see it. */
  readonly edit?: HeaderEdit
  /** The message with another body; all edits of its header are made on top. */
  readonly message?: Message
  /** A new reverse-path; null for `<>`. */
  readonly sender?: MailAddress | null
  /** Recipients to add, routed like all others, and to leave out again. */
  readonly add?: readonly MailAddress[]
  readonly remove?: readonly MailAddress[]
}

/**
 * What a check thinks. The worst verdict of a stage counts: reject before defer before discard before quarantine before accept. Quarantine sticks to the
 * mail: it goes to Junk. Discard says 250 and forgets the mail.
 */
export type Verdict = Besides &
  (
    | { readonly action: 'accept' }
    | { readonly action: 'quarantine' | 'discard'; readonly why: string }
    | { readonly action: 'defer' | 'reject'; readonly reply: SmtpError }
  )

export const accept = (why?: string): Verdict => (why === undefined ? ACCEPT : { action: 'accept', why })
const ACCEPT: Verdict = { action: 'accept' }
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
 * *defer*: a mail is never let through because a check was broken. A check in a route is asked the stages that have passed already when the first recipient takes that route.
 */
export interface MailCheck {
  /** Milliseconds that it may take at each stage; default 30,000. */
  readonly patience?: number
  /** It shows mails to a program outside of the server, which may remember them. */
  readonly external?: boolean
  /** Before the first MAIL of a session: client and hello are known. Asked once a session; the verdict holds for all its mails. */
  connection?(client: Client): Awaitable<Verdict>
  /** At MAIL. */
  sender?(mail: Mail): Awaitable<Verdict>
  /** At RCPT. */
  recipient?(mail: Mail, recipient: Recipient): Awaitable<Verdict>
  /** At the end of the data. */
  content?(mail: Mail, message: Message): Awaitable<Verdict>
  /** The mail is over, whatever became of it: what is kept for it can go. Called once, if anything was asked of this check about it. */
  end?(mail: Mail): void
}

/** A modifier changes envelope and header. Modifiers run one after the other, in the order of the config; each sees what those before it made. */
export interface MailModifier {
  /** Its edit vouches for the header as it is: it comes after the edits of all that do not, wherever it stands in the config. */
  readonly seals?: boolean
  /** At MAIL, in a route at its first recipient: another reverse-path. Never asked for `<>`. Throws `SmtpError` to refuse. */
  sender?(mail: Mail, sender: MailAddress): Awaitable<MailAddress | null>
  /** At RCPT, before the routing: what the recipient becomes, one or more addresses. Throws `SmtpError` to refuse. */
  recipient?(mail: Mail, recipient: MailAddress): Awaitable<readonly MailAddress[]>
  /** The reverse-path of a mail that an alias or a `forward` sends on to another server: that server will ask whether *we* may send for it. Never asked for `<>`. */
  forward?(mail: Mail, sender: MailAddress): Awaitable<MailAddress | null>
  /** After all checks have passed. `forwarded`: this copy is sent on to another server though it came for a recipient here. */
  edit?(mail: Mail, message: Message, forwarded: boolean): Awaitable<ModifierEdit>
}

/** What a modifier makes of a message. */
export interface ModifierEdit extends HeaderEdit {
  /** The same message in another transfer encoding, which the edit is about. */
  readonly message?: Message
}

/** Where one recipient's mail goes, as the routing found out. */
export interface Routed {
  readonly recipient: Recipient
  /** The address to deliver to: the recipient's own, or what modifiers and aliases made of it. */
  readonly address: MailAddress
  /** Set for the mailbox of a local account. */
  readonly account: Account | undefined
}

/** What became of one recipient. */
export interface Outcome {
  readonly routed: Routed
  /** Undefined: delivered, and safe. */
  readonly failure: SmtpError | undefined
  /** The server that took or refused it, where there was one. */
  readonly remote?: string
  /** For log and trace: how it went there, `TLSv1.3, dane`. */
  readonly how?: string
  /** That server promised to send notifications itself (RFC 3461 §6.2). */
  readonly relayed?: boolean
}

/** One mail being delivered to one target, in four steps: `add` for each recipient, `body`, then `commit` or `abort`. */
export interface Delivery {
  /** Throws `SmtpError` when this recipient cannot be had. */
  add(routed: Routed): Awaitable<void>
  /** The message as it shall be stored or sent. `quarantined`: it goes to Junk. */
  body(message: Message, quarantined: boolean): Awaitable<void>
  /** Resolves when everything it reports as delivered is safe from power loss. One outcome for each recipient added. */
  commit(): Promise<readonly Outcome[]>
  /** Forgets everything. Never throws. */
  abort(): void
  /** Of a simulated mail, in place of `body` and `commit`: what this target would decide, where there is something to decide. Nothing is delivered. */
  suppose?(message: Message): Promise<Supposition>
}

/** What a target would do with a mail. */
export interface Supposition {
  readonly steps: readonly Step[]
  /** Undefined: it would take it. */
  readonly refusal: SmtpError | undefined
}

/** A place where mail can go. */
export interface MailTarget {
  /**
   * True for what may take long or fail for hours: the mail is answered when the queue has it, and the queue delivers and tries again. False: it is delivered before
   * the client gets its answer.
   */
  readonly queued: boolean
  /** Each domain is a place of its own: in the queue it has its own turn, and its own troubles. Default: the target is one place. */
  readonly byDomain?: boolean
  begin(mail: Mail): Delivery
}

export const mailChecks = defineFamily<MailCheck>('checks', 'what looks at a mail before it is accepted')
export const mailModifiers = defineFamily<MailModifier>(
  'modifiers',
  'what changes addresses and header of a mail that is accepted',
)
export const mailTargets = defineFamily<MailTarget>('targets', 'where routes can send mail')

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
/** Declares a target. */
export const mailTarget = <Schema extends GenericSchema>(target: Declared<MailTarget, Schema>): AnyModule<MailTarget> =>
  defineModule({ family: mailTargets, ...target })
