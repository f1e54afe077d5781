// The queue: keeps what cannot be delivered now, durably, and tries local mailboxes again.

import { parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import type { Accounts } from '../../../accounts/contracts.ts'
import { type Scope, serviceKey } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import {
  type Client,
  type Delivery,
  type Mail,
  type MailTarget,
  type Outcome,
  type Routed,
} from '../../pipeline/contracts.ts'
import { Findings } from '../../pipeline/findings.ts'
import { Message } from '../../pipeline/message.ts'
import type { QueueDoor } from '../../pipeline/pipeline.ts'
import type { NamedTarget } from '../../pipeline/routes.ts'
import { asSmtpError } from '../../pipeline/refusal.ts'
import { type QueuedMail, type QueuedRecipient, queueStore } from './store.ts'

/** Octets up to which a mail lies in the database itself. */
const INLINE = 256 * 1024

/** Milliseconds before the first new attempt at a local mailbox; each further one waits twice as long. */
const FIRST_RETRY = 30_000
const LONGEST_WAIT = 3_600_000

/** Milliseconds between two looks for large mails that nobody waits for any more. */
const SWEEP_EVERY = 3_600_000

/** The queues of all generations of the config: the newest one retries. Two at once would count every failure twice. */
interface Duty {
  readonly queues: Queue[]
}
const Duty = serviceKey<Duty>('mail-queue-duty')

type QueueCalls = Calls<typeof queueStore.operations>

/** Where mail waits. Until remote delivery comes, mail to other servers stays here, safely, and `aviso status` counts it. */
export class Queue implements QueueDoor {
  readonly #scope: Scope
  readonly #store: Store
  readonly #calls: QueueCalls

  constructor(scope: Scope, store: Store) {
    this.#scope = scope
    this.#store = store
    this.#calls = store.core(queueStore)
  }

  for({ key }: NamedTarget): NamedTarget {
    const begin = (mail: Mail): Delivery => new QueueDelivery(this.#store, this.#calls, mail, this.#scope)
    return { key, target: { queued: true, begin } }
  }

  /** Tries local mailboxes again from now on, until the scope closes or a newer generation does it. */
  async retryLocal(accounts: Accounts, local: MailTarget): Promise<void> {
    const duty = await this.#scope.keep(Duty, (): Duty => ({ queues: [] }))
    duty.queues.push(this)
    this.#scope.defer(() => void duty.queues.splice(duty.queues.indexOf(this), 1))
    this.#scope.interval(FIRST_RETRY / 2, async () => {
      if (duty.queues.at(-1) !== this) return
      for (const recipient of await this.#calls.dueLocal({ limit: 100 })) {
        if (this.#scope.signal.aborted) return
        await this.#retry(recipient, accounts, local)
      }
    })
    this.#scope.interval(SWEEP_EVERY, () =>
      this.#store.keeper.deleteUnused(this.#store.blobs, () => this.#calls.blobs()),
    )
  }

  async #retry(recipient: QueuedRecipient, accounts: Accounts, local: MailTarget): Promise<void> {
    const { mail: id, address: text } = recipient
    let failure: SmtpError | undefined
    try {
      failure = await this.#deliver(recipient, accounts, local)
    } catch (error) {
      if (this.#scope.signal.aborted) return
      // One mail that cannot be tried must not keep those behind it waiting.
      this.#scope.log.error({ err: error, mail: id, recipient: text }, 'a queued mail cannot be tried')
      failure = asSmtpError(error)
    }
    if (failure !== undefined) {
      const wait = Math.min(LONGEST_WAIT, FIRST_RETRY * 2 ** recipient.attempts)
      await this.#calls.postponed({
        mail: id,
        address: text,
        nextAttempt: this.#scope.clock.now() + wait,
        error: failure.message,
      })
      return
    }
    await this.#calls.delivered({ mail: id, address: text })
    this.#scope.log.info({ event: 'mail-delivered', mail: id, recipient: text }, 'queued mail delivered')
  }

  async #deliver(
    { mail, address: text, account: id, parameters }: QueuedRecipient,
    accounts: Accounts,
    local: MailTarget,
  ): Promise<SmtpError | undefined> {
    const queued = await this.#calls.mail({ id: mail })
    const address = parseMailAddress(text)
    if (queued === undefined || address === undefined) throw new Error(`the rows of the queued mail ${mail} are broken`)
    const account = await accounts.byId(id)
    if (account === undefined) return new SmtpError(451, '4.2.1', 'the account is gone')
    const delivery = local.begin(remembered(queued, this.#scope))
    const recipient = { address, parameters: JSON.parse(parameters) as Routed['recipient']['parameters'] }
    await delivery.add({ recipient, address, account })
    await delivery.body(Message.of(await this.#bytes(queued)), queued.quarantined)
    return (await delivery.commit())[0]?.failure
  }

  async #bytes(mail: QueuedMail): Promise<Uint8Array> {
    const bytes = mail.bytes ?? (mail.blob === null ? undefined : await this.#store.blobs.get(mail.blob))
    if (bytes === undefined) throw new Error(`the octets of the queued mail ${mail.id} are missing`)
    return bytes
  }
}

class QueueDelivery implements Delivery {
  readonly #store: Store
  readonly #calls: QueueCalls
  readonly #mail: Mail
  readonly #scope: Scope
  readonly #recipients: Routed[] = []
  #bytes: Uint8Array = new Uint8Array()
  #quarantined = false

  constructor(store: Store, calls: QueueCalls, mail: Mail, scope: Scope) {
    this.#store = store
    this.#calls = calls
    this.#mail = mail
    this.#scope = scope
  }

  add(routed: Routed): void {
    this.#recipients.push(routed)
  }

  async body(message: Message, quarantined: boolean): Promise<void> {
    this.#bytes = await message.whole()
    this.#quarantined = quarantined
  }

  async commit(): Promise<readonly Outcome[]> {
    if (this.#bytes.byteLength <= INLINE) await this.#put(null)
    else await this.#store.keeper.hold(async () => this.#put(await this.#store.blobs.put(this.#bytes)))
    return this.#recipients.map((routed) => ({ routed, failure: undefined }))
  }

  /** Writes the rows; the octets too, where they are in no blob. */
  async #put(blob: string | null): Promise<void> {
    const { id, sender, parameters, received } = this.#mail
    const mail: QueuedMail = {
      id,
      created: received,
      sender: sender?.toString() ?? '',
      parameters: JSON.stringify(parameters),
      quarantined: this.#quarantined,
      size: this.#bytes.byteLength,
      bytes: blob === null ? this.#bytes : null,
      blob,
    }
    const first = this.#scope.clock.now() + FIRST_RETRY
    const recipients = this.#recipients.map(({ recipient, address, account }): QueuedRecipient => ({
      mail: id,
      address: address.toString(),
      account: account?.id ?? '',
      parameters: JSON.stringify(recipient.parameters),
      attempts: 0,
      nextAttempt: first,
      lastError: '',
    }))
    await this.#calls.put({ mail, recipients })
  }

  abort(): void {
    this.#bytes = new Uint8Array()
  }
}

/** The mail as its target needs to see it again. */
function remembered(queued: QueuedMail, scope: Scope): Mail {
  const findings = new Findings()
  const client: Client = {
    session: queued.id,
    log: scope.log,
    protocol: 'queue',
    remoteAddress: '',
    hello: '',
    extended: true,
    tls: undefined,
    account: undefined,
    once: (finding, make) => findings.once(finding, make),
  }
  const sender = parseMailAddress(queued.sender) ?? null
  return {
    id: queued.id,
    client,
    reversePath: sender,
    sender,
    parameters: JSON.parse(queued.parameters) as Mail['parameters'],
    recipients: [],
    received: queued.created,
    results: [],
    simulated: false,
    once: (finding, make) => findings.once(finding, make),
  }
}
