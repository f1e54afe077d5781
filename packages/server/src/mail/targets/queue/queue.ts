// The queue: keeps mail until it is delivered or given back, durably, and tries again by a plan.

import { randomWord } from '../../../kernel/random.ts'
import { type Scope, serviceKey } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import type { Delivery, Mail, Message, Outcome, Routed } from '../../pipeline/contracts.ts'
import type { Pipeline, QueueDoor } from '../../pipeline/pipeline.ts'
import { fits, type NamedTarget, type Pattern } from '../../pipeline/routes.ts'
import { textPattern } from '../../routes-config.ts'
import { Caretaker } from './caretaker.ts'
import type { QueueConfig } from './config.ts'
import { type Fact, type QueuedMail, wanted } from './contracts.ts'
import { Dispatcher, type Worker } from './dispatcher.ts'
import { moveFromCore } from './moving.ts'
import type { PutOrder } from './put-operations.ts'
import { rememberedClient } from './remembered.ts'
import { Reports } from './reports.ts'
import { QUEUE, spoolStore } from './store.ts'

/** Octets up to which a mail lies in the database itself. */
const INLINE = 256 * 1024
/** Milliseconds that a generation of the config waits at its end for what it began: what is cut off may arrive twice. */
const PATIENCE = 10_000
/** Milliseconds until it is tried again to move what an older version kept. */
const MOVE_AGAIN = 30_000

type SpoolCalls = Calls<typeof spoolStore.operations>

/** What all generations of the config share. */
interface Shared {
  readonly dispatcher: Dispatcher
  readonly reports: Reports
  readonly caretaker: Caretaker
  /** Resolves when what an older version kept in the core database is here. */
  moved(config: QueueConfig): Promise<void>
}
const Shared = serviceKey<Shared>('mail-queue')

/** The queue of one generation of the config. */
export const QueueRoom = serviceKey<Queue>('mail-queue-room')

export interface QueueParts {
  readonly config: QueueConfig
  isLocal(domain: string): boolean
}

/** What one generation of the config works with. */
export interface QueueWork extends Omit<Worker, 'config' | 'log'> {
  /** The way of notifications. */
  readonly local: () => Pipeline
  /** Our name, for notifications. */
  readonly hostname: string
}

/** Opens the queue until `scope` closes; nothing is tried before {@link Queue.begin}. */
export async function openQueue(scope: Scope, store: Store, parts: QueueParts): Promise<Queue> {
  const calls = store.service(spoolStore, QUEUE)
  const shared = await scope.keep(Shared, (kept) => {
    const reports = new Reports(kept, store, calls)
    const caretaker = new Caretaker(kept, store, calls, reports)
    const dispatcher = new Dispatcher(kept, store, calls, (told, freed) => {
      if (told) reports.look()
      caretaker.freed(freed)
    })
    caretaker.care(dispatcher)
    let moving: Promise<void> | undefined
    const moved = (config: QueueConfig): Promise<void> =>
      (moving ??= moveFromCore(store, calls, config, kept).catch((error: unknown) => {
        moving = undefined
        throw error
      }))
    return { dispatcher, reports, caretaker, moved }
  })
  return new Queue(scope, store, calls, shared, parts)
}

export class Queue implements QueueDoor {
  readonly #scope: Scope
  readonly #store: Store
  readonly #calls: SpoolCalls
  readonly #shared: Shared
  readonly #parts: QueueParts
  readonly #hold: readonly Pattern[]

  constructor(scope: Scope, store: Store, calls: SpoolCalls, shared: Shared, parts: QueueParts) {
    this.#scope = scope
    this.#store = store
    this.#calls = calls
    this.#shared = shared
    this.#parts = parts
    this.#hold = parts.config.hold.map(textPattern).filter((pattern) => pattern !== undefined)
  }

  for(to: NamedTarget): NamedTarget {
    const target = { queued: true, begin: (mail: Mail): Delivery => new QueueDelivery(this, mail, to) }
    return { key: to.key, target }
  }

  /** Works the queue from now on, until `scope` closes or a newer generation does it. First moves what an older version kept elsewhere. */
  begin(scope: Scope, work: QueueWork): void {
    const { dispatcher, reports, moved } = this.#shared
    const { config } = this.#parts
    let leave: ((patience: number) => Promise<unknown>) | undefined
    const start = async (): Promise<void> => {
      try {
        await moved(config)
      } catch (error) {
        if (scope.signal.aborted) return
        scope.log.error({ err: error }, 'the queue of an older version cannot be moved yet: no queued mail is tried')
        scope.timeout(MOVE_AGAIN, start)
        return
      }
      if (scope.signal.aborted) return
      const [ofDeliveries, ofReports] = [
        dispatcher.hire({ ...work, config, log: scope.log }),
        reports.hire(work, config),
      ]
      leave = (patience) => Promise.all([ofDeliveries(patience), ofReports(patience)])
    }
    scope.defer(async () => {
      await leave?.(PATIENCE)
    })
    void start()
  }

  /** Somebody changed the queue from outside: looks anew at what is due, notifications included. */
  refresh(): void {
    this.#shared.dispatcher.refresh()
    this.#shared.reports.look()
  }

  async delivered(mail: Mail, message: Message, routed: readonly Routed[]): Promise<void> {
    const at = this.#scope.clock.now()
    const facts = routed
      .filter(({ recipient }) => wanted(recipient.parameters.notify, 'success'))
      .map(({ recipient: { address, parameters } }): Fact => ({
        recipient: address.toString(),
        ...(parameters.originalRecipient === undefined ? {} : { originalRecipient: parameters.originalRecipient }),
        action: 'delivered',
        status: '2.0.0',
        at,
      }))
    if (facts.length === 0 || mail.sender === null) return
    const bytes = Uint8Array.from(message.head)
    await this.#calls.tell({
      mail: { ...described(mail, message, false), size: bytes.byteLength },
      bytes,
      facts,
      report: randomWord(this.#scope.random, 16),
    })
    this.#shared.reports.look()
  }

  async commit(deliveries: readonly Delivery[]): Promise<readonly (readonly Outcome[])[]> {
    const ours = deliveries.map((delivery) => {
      if (!(delivery instanceof QueueDelivery)) throw new TypeError('a delivery that is not for the queue')
      return delivery
    })
    await this.take(ours.flatMap((delivery) => delivery.parcel() ?? []))
    return ours.map((delivery) => delivery.outcomes())
  }

  /** Takes mails, all or none of them. Resolves when they are safe. */
  async take(parcels: readonly Parcel[]): Promise<void> {
    if (parcels.length === 0) return
    const held = await Promise.all(parcels.map(({ mail, recipients }) => this.#held(mail, recipients)))
    const put = async (): Promise<void> => {
      const orders: PutOrder[] = []
      for (const [i, parcel] of parcels.entries()) orders.push(await this.#order(parcel, held[i] ?? []))
      const urgent = parcels.some(({ mail }) => (mail.parameters.priority ?? 0) > 0)
      this.#shared.dispatcher.wake(await this.#calls.put(orders), urgent)
    }
    return parcels.every(({ message }) => message.size <= INLINE) ? put() : this.#store.keeper.hold(put)
  }

  async #order({ mail, to, recipients, message, quarantined }: Parcel, held: readonly boolean[]): Promise<PutOrder> {
    const inline = message.size <= INLINE
    return {
      mail: {
        ...described(mail, message, quarantined),
        blob: inline ? null : await this.#store.blobs.putStream(message.chunks()),
      },
      bytes: inline ? Uint8Array.from(await message.whole()) : null,
      recipients: recipients.map(({ recipient, address, account }, i) => ({
        address: address.toString(),
        recipient: recipient.address.toString(),
        account: account?.id ?? '',
        parameters: JSON.stringify(recipient.parameters),
        target: to.key,
        destination: to.target.byDomain === true ? address.domain : '',
        held: held[i] ?? false,
      })),
      ...this.#times(mail),
    }
  }

  /** When to try first, when to tell of a delay, when to give up. */
  #times({ parameters, received }: Mail): Pick<PutOrder, 'first' | 'wake' | 'expires'> {
    const { expire, 'delay-warning': warning } = this.#parts.config
    const now = this.#scope.clock.now()
    // RFC 4865: not before that time, and the waiting begins then.
    const begin = Math.max(now, parameters.holdUntil?.getTime() ?? now)
    const first = begin - headStart(parameters.priority ?? 0)
    let expires = begin + expire
    let wake = warning === 0 ? expires : Math.min(expires, begin + warning)
    // RFC 2852 §4.1: given back when the time is over, or told to be late.
    const by = parameters.deliverBy
    if (by?.late === 'return') expires = Math.min(expires, received + by.seconds * 1000)
    if (by?.late === 'notify') wake = Math.min(wake, received + by.seconds * 1000)
    return { first, wake: Math.min(wake, expires), expires }
  }

  async #held({ sender }: Mail, recipients: readonly Routed[]): Promise<readonly boolean[]> {
    if (this.#hold.length === 0) return []
    const one = (address: Mail['sender']): Promise<boolean> => fits(this.#hold, address, this.#parts)
    if (await one(sender)) return recipients.map(() => true)
    return Promise.all(recipients.map(({ address }) => one(address)))
  }
}

/**
 * RFC 6710: milliseconds of waiting that a mail of this priority is taken to have behind it, as those who have waited longest come first. What is less urgent than
 * usual lets others go first for a little while instead; so nobody waits for ever.
 */
const headStart = (priority: number): number => (priority > 0 ? priority * 600_000 : priority * 10_000)

/** The mail as the queue writes it down. */
const described = (mail: Mail, message: Message, quarantined: boolean): Omit<QueuedMail, 'seq'> => ({
  id: mail.id,
  created: mail.received,
  reversePath: mail.reversePath?.toString() ?? '',
  sender: mail.sender?.toString() ?? '',
  parameters: JSON.stringify(mail.parameters),
  client: JSON.stringify(rememberedClient(mail.client)),
  quarantined,
  size: message.size,
  head: message.head.byteLength,
  blob: null,
})

/** A mail for the queue. */
interface Parcel {
  readonly mail: Mail
  readonly to: NamedTarget
  readonly recipients: readonly Routed[]
  readonly message: Message
  readonly quarantined: boolean
}

class QueueDelivery implements Delivery {
  readonly #queue: Queue
  readonly #mail: Mail
  readonly #to: NamedTarget
  readonly #recipients: Routed[] = []
  #message: Message | undefined
  #quarantined = false

  constructor(queue: Queue, mail: Mail, to: NamedTarget) {
    this.#queue = queue
    this.#mail = mail
    this.#to = to
  }

  add(routed: Routed): void {
    this.#recipients.push(routed)
  }

  body(message: Message, quarantined: boolean): void {
    this.#message = message
    this.#quarantined = quarantined
  }

  /** What is to be kept; undefined without recipients. */
  parcel(): Parcel | undefined {
    const [recipients, message] = [this.#recipients, this.#message]
    if (message === undefined) throw new Error('a queued mail without a body')
    if (recipients.length === 0) return undefined
    return { mail: this.#mail, to: this.#to, recipients, message, quarantined: this.#quarantined }
  }

  /** Kept for all. */
  outcomes(): readonly Outcome[] {
    return this.#recipients.map((routed) => ({ routed, failure: undefined }))
  }

  async commit(): Promise<readonly Outcome[]> {
    const [outcomes] = await this.#queue.commit([this])
    return outcomes ?? []
  }

  abort(): void {
    this.#message = undefined
  }
}
