// What the checks and modifiers of mail authentication find out of a mail, each once, however many of them ask.

import { isLoopback } from '../../accounts/neighbourhood.ts'
import { type Scope, serviceKey } from '../../kernel/scope.ts'
import { Resolver } from '../../net/dns/contracts.ts'
import { accept, finding, type Mail, type MailCheck, type Message as PipelineMessage } from '../pipeline/contracts.ts'
import { MailSettings } from '../settings.ts'
import { type ArcResult, verifyArc } from './arc/verify.ts'
import { DkimKeys } from './dkim/key-record.ts'
import { type DkimResult, type DkimResults, verifyDkim } from './dkim/verify.ts'
import { type DmarcResult, evaluateDmarc } from './dmarc/evaluate.ts'
import { Message } from './message.ts'
import { checkHost, type SpfResult } from './spf/check-host.ts'
import { SpfRecords } from './spf/record.ts'

const SPF = finding<SpfResult>('spf')
const DKIM = finding<DkimResults>('dkim')
const ARC = finding<ArcResult>('arc')
const DMARC = finding<DmarcResult>('dmarc')
const MESSAGE = finding<Message>('message-as-signed')
const REQUIRED = finding<readonly string[]>('dkim-required-fields')
const DMARC_DECIDES = finding<boolean>('dmarc-decides')

/** Parsed keys and records, which outlive a reload. */
interface Caches {
  readonly keys: DkimKeys
  readonly records: SpfRecords
}

const Caches = serviceKey<Caches>('mail-authentication-caches')

/** A message of the pipeline as signatures see it; its body stays where it lies. */
export function asSigned(message: PipelineMessage): Message {
  const { pieces } = message
  return Message.parts(message.head, message.header, pieces === undefined ? () => message.body() : pieces[1])
}

/** A mail that a peer on the network handed in without a login: the only one that its sender's domain has something to say about. What is on this machine is ours. */
export const fromOutside = ({ client }: Mail): boolean =>
  client.account === undefined && client.remoteAddress !== '' && !isLoopback(client.remoteAddress)

/** The check, for mail from outside; it accepts all else at once, so that nobody waits for what need not be asked. */
export function judgingOutside({ sender, content }: Required<Pick<MailCheck, 'content'>> & MailCheck): MailCheck {
  return {
    ...(sender && { sender: (mail) => (fromOutside(mail) ? sender(mail) : accept()) }),
    content: (mail, message) => (fromOutside(mail) ? content(mail, message) : accept()),
  }
}

export class Authenticator {
  readonly #scope: Scope
  readonly #resolver: Resolver
  readonly #hostname: string
  readonly #caches: Caches

  private constructor(scope: Scope, caches: Caches) {
    this.#scope = scope
    this.#resolver = scope.use(Resolver)
    this.#hostname = scope.use(MailSettings).hostname
    this.#caches = caches
  }

  /** For a module, in its scope. */
  static async open(scope: Scope): Promise<Authenticator> {
    const caches = await scope.keep(Caches, () => ({ keys: new DkimKeys(), records: new SpfRecords() }))
    return new Authenticator(scope, caches)
  }

  /** Whether the client may send for the reverse-path. */
  spf(mail: Mail): Promise<SpfResult> {
    return mail.once(SPF, () =>
      checkHost({
        ip: mail.client.remoteAddress,
        helo: mail.client.hello,
        sender: mail.reversePath?.toString() ?? '',
        resolver: this.#resolver,
        receiver: this.#hostname,
        now: mail.received,
        records: this.#caches.records,
        signal: this.#scope.signal,
      }),
    )
  }

  /** Says, before the content comes, which fields a signature must cover to count, where the message has them. */
  requireSigned(mail: Mail, names: readonly string[]): Promise<unknown> {
    return mail.once(REQUIRED, () => Promise.resolve(names))
  }

  /** The signatures of the message as it came. */
  dkim(mail: Mail, message: PipelineMessage): Promise<DkimResults> {
    return mail.once(DKIM, async () => {
      const [signed, required] = await Promise.all([
        this.#signed(mail, message),
        mail.once(REQUIRED, () => Promise.resolve<readonly string[]>([])),
      ])
      const results = await verifyDkim(signed, {
        resolver: this.#resolver,
        now: mail.received,
        keys: this.#caches.keys,
        signal: this.#scope.signal,
      })
      return { ...results, signatures: results.signatures.map((result) => covering(result, required, signed)) }
    })
  }

  /** The ARC chain of the message as it came. */
  arc(mail: Mail, message: PipelineMessage): Promise<ArcResult> {
    return mail.once(ARC, async () =>
      verifyArc(await this.#signed(mail, message), {
        resolver: this.#resolver,
        now: mail.received,
        keys: this.#caches.keys,
        signal: this.#scope.signal,
      }),
    )
  }

  /** Whether the author's domain stands behind the message. */
  dmarc(mail: Mail, message: PipelineMessage): Promise<DmarcResult> {
    return mail.once(DMARC, async () => {
      const [spf, dkim] = await Promise.all([this.spf(mail), this.dkim(mail, message)])
      return evaluateDmarc({
        from: message.header.all('From'),
        spf,
        dkim: dkim.signatures,
        resolver: this.#resolver,
        signal: this.#scope.signal,
      })
    })
  }

  /** Says, before the content comes, that DMARC has the last word on this mail. */
  dmarcDecides(mail: Mail): Promise<unknown> {
    return mail.once(DMARC_DECIDES, () => Promise.resolve(true))
  }

  /** True when DMARC is evaluated for this mail and the author's domain has a policy other than `none`, which then counts instead of SPF's own. */
  async leftToDmarc(mail: Mail, message: PipelineMessage): Promise<boolean> {
    if (!(await mail.once(DMARC_DECIDES, () => Promise.resolve(false)))) return false
    const { status, policy } = await this.dmarc(mail, message)
    return (status === 'pass' || status === 'fail') && policy !== 'none'
  }

  #signed(mail: Mail, message: PipelineMessage): Promise<Message> {
    return mail.once(MESSAGE, () => Promise.resolve(asSigned(message)))
  }
}

/** A signature that leaves a field out which it must cover does not count. */
function covering(result: DkimResult, required: readonly string[], message: Message): DkimResult {
  if (result.status !== 'pass') return result
  const missing = required.find(
    (name) => message.named(name.toLowerCase()).length > 0 && !result.signedFields.includes(name.toLowerCase()),
  )
  return missing === undefined ? result : { ...result, status: 'policy', reason: `${missing} is not signed` }
}
