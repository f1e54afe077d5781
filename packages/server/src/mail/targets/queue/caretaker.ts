// What the queue needs besides deliveries: senders told of delays, mail given back when its time is over, blobs swept, figures for metrics.

import { randomWord } from '../../../kernel/random.ts'
import type { GaugeMetric } from '../../../kernel/metrics.ts'
import type { Scope } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import { delayFact, failureFact } from './conclude.ts'
import { wanted } from './contracts.ts'
import { queueStore } from './core-store.ts'
import type { Dispatcher } from './dispatcher.ts'
import { recipientParametersOf } from './remembered.ts'
import type { Reports } from './reports.ts'
import type { spoolStore } from './store.ts'
import type { Overdue, Parting } from './work-operations.ts'

/** Milliseconds between two looks at who has waited too long. */
const LOOK_EVERY = 60_000
/** Recipients of one look's step. */
const STEP = 200
/** Milliseconds after which is looked again at somebody who is to be tried once more before he is given up. */
const LAST_CHANCE = 15 * 60_000
/** Milliseconds between two sweeps of blobs; sooner when this many octets are free. */
const SWEEP_EVERY = 3_600_000
const SWEEP_OCTETS = 256 * 2 ** 20
const FIGURES_EVERY = 15_000

type SpoolCalls = Calls<typeof spoolStore.operations>

export class Caretaker {
  readonly #scope: Scope
  readonly #store: Store
  readonly #calls: SpoolCalls
  readonly #reports: Reports
  readonly #mails: GaugeMetric
  readonly #recipients: GaugeMetric
  readonly #destinations: GaugeMetric
  readonly #oldest: GaugeMetric
  readonly #targets = new Set<string>()
  #free = 0
  #sweeping = false

  constructor(scope: Scope, store: Store, calls: SpoolCalls, reports: Reports) {
    this.#scope = scope
    this.#store = store
    this.#calls = calls
    this.#reports = reports
    const { metrics } = scope
    this.#mails = metrics.gauge('aviso_queue_mails', 'Mails in the queue; held: recipients on hold', ['state'])
    this.#recipients = metrics.gauge('aviso_queue_recipients', 'Recipients who wait in the queue, by target', [
      'target',
    ])
    this.#destinations = metrics.gauge(
      'aviso_queue_destinations',
      'Destinations that mail waits for, by target and whether they are known to be down',
      ['target', 'state'],
    )
    this.#oldest = metrics.gauge('aviso_queue_oldest_seconds', 'Age of the oldest mail in the queue')
  }

  /** Begins to look after the queue, as long as the dispatcher has work to do. */
  care(dispatcher: Dispatcher): void {
    const working = (task: () => Promise<void>) => async (): Promise<void> => {
      if (dispatcher.worker !== undefined) await task()
    }
    this.#scope.interval(
      LOOK_EVERY,
      working(() => this.#lookForOverdue(dispatcher)),
    )
    this.#scope.interval(
      SWEEP_EVERY,
      working(() => this.#sweep()),
    )
    this.#scope.interval(
      FIGURES_EVERY,
      working(() => this.#measure()),
    )
  }

  /** So many octets in blobs are not needed any more. */
  freed(octets: number): void {
    this.#free += octets
    if (this.#free >= SWEEP_OCTETS) void this.#sweep()
  }

  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#free = 0
    try {
      await this.#store.keeper.deleteUnused(this.#store.blobs, async () => [
        ...(await this.#calls.blobs()),
        ...(await this.#store.core(queueStore).blobs()),
      ])
    } catch (error) {
      this.#scope.log.warn({ err: error }, 'octets of mails that have left the queue could not be deleted')
    } finally {
      this.#sweeping = false
    }
  }

  async #lookForOverdue(dispatcher: Dispatcher): Promise<void> {
    const { worker } = dispatcher
    if (worker === undefined) return
    for (let more = true; more && !this.#scope.signal.aborted;) {
      const now = this.#scope.clock.now()
      const rows = await this.#calls.overdue({ now, limit: STEP })
      const given = new Map<number, Parting[]>()
      const waking: (Parting & { destination: number; wake: number; attempt: boolean })[] = []
      const marked: string[] = []
      for (const row of rows) {
        const { mail, n, destination } = row
        const key = `${mail}:${n}`
        if (dispatcher.busy.has(key)) waking.push({ mail, n, destination, wake: now + LOOK_EVERY, attempt: false })
        else if (row.expires > now)
          waking.push({ ...this.#late(row, now), destination, wake: this.#next(row, now), attempt: false })
        // Nobody is given up by the clock alone: it may have been set, or the server was off for days. The last attempt comes after the end of the time.
        else if (row.tried < row.expires) waking.push({ mail, n, destination, wake: now + LAST_CHANCE, attempt: true })
        else {
          const given_ = given.get(destination) ?? []
          given.set(destination, given_)
          given_.push({ ...this.#over(row, now) })
          dispatcher.busy.add(key)
          marked.push(key)
        }
      }
      try {
        for (const [destination, gone] of given) {
          await this.#calls.settle({ destination, gone, later: [], outage: undefined })
          for (const { mail, n } of gone)
            worker.log.info({ event: 'mail-expired', queued: mail, n }, 'queued mail given up')
        }
        if (waking.length > 0) await this.#calls.wakeLater({ rows: waking })
      } finally {
        for (const key of marked) dispatcher.busy.delete(key)
      }
      if (rows.length > 0) this.#reports.look()
      if (waking.some(({ attempt }) => attempt)) dispatcher.refresh()
      more = rows.length === STEP
    }
  }

  /** Told of a delay, if the sender wants to know. */
  #late(row: Overdue, now: number): Parting {
    const { mail, n } = row
    // Who was never tried, as the server was off, is not late for anybody's fault: there is nothing to tell yet.
    if (row.error === undefined || !wanted(recipientParametersOf(row.parameters).notify, 'delay')) return { mail, n }
    return { mail, n, tell: { kind: 'delay', fact: delayFact(row, row.error, now), id: this.#name() } }
  }

  #next(row: Overdue, now: number): number {
    return row.error === undefined ? Math.min(row.expires, now + LAST_CHANCE) : row.expires
  }

  #over(row: Overdue, now: number): Parting {
    const { mail, n } = row
    if (!wanted(recipientParametersOf(row.parameters).notify, 'failure')) return { mail, n }
    const fact = { ...failureFact(row, row.error, now), expired: true }
    return { mail, n, tell: { kind: 'failure', fact, id: this.#name() } }
  }

  async #measure(): Promise<void> {
    const { mails, held, oldest, targets } = await this.#calls.figures()
    this.#mails.set({ state: 'waiting' }, mails)
    this.#mails.set({ state: 'held' }, held)
    this.#oldest.set({}, oldest === undefined ? 0 : Math.max(0, this.#scope.clock.now() - oldest) / 1000)
    for (const target of this.#targets)
      if (!targets.some((one) => one.target === target)) {
        this.#recipients.set({ target }, 0)
        this.#destinations.set({ target, state: 'up' }, 0)
        this.#destinations.set({ target, state: 'down' }, 0)
      }
    for (const { target, recipients, destinations, down } of targets) {
      this.#targets.add(target)
      this.#recipients.set({ target }, recipients)
      this.#destinations.set({ target, state: 'up' }, destinations - down)
      this.#destinations.set({ target, state: 'down' }, down)
    }
  }

  #name(): string {
    return randomWord(this.#scope.random, 16)
  }
}
