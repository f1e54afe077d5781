// Who is tried when: destinations take turns, each gets a few deliveries at the same time, and one that is down is asked by one mail at a time.

import type { Clock, Timer } from '../../../kernel/clock.ts'
import type { CounterMetric } from '../../../kernel/metrics.ts'
import type { Scope } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import type { StoryWriter } from '../../pipeline/stories.ts'
import { attempt, type AttemptParts, type Result } from './attempt.ts'
import { conclude, type Conclusion, stepsOf } from './conclude.ts'
import type { QueueConfig } from './config.ts'
import type { Destination, DueRecipient, LastError } from './contracts.ts'
import { Lane } from './lane.ts'
import { type Loaded, LoadedMails } from './remembered.ts'
import { horizon } from './schedule.ts'
import type { spoolStore } from './store.ts'

/** Recipients read of a destination at a time. */
const PAGE = 128
/** Destinations at work; the others wait in the database. */
const LANES = 1000
/** Milliseconds after which a delivery is slow: it does not keep others from their turn any more. */
const SLOW = 30_000
/** All deliveries together, slow ones too, as a multiple of those at the same time. */
const SLOW_FACTOR = 5
/** Milliseconds after which nobody waits for a target any more. */
const CEILING = 3_600_000
/** The clock may have been set: nobody sleeps longer than this. */
const LONGEST_SLEEP = 60_000
/** Milliseconds until the database is asked again after it could not answer. */
const DATABASE_RETRY = 5000

/** What one generation of the config brings along for the work. */
export interface Worker extends AttemptParts {
  readonly config: QueueConfig
  readonly stories: StoryWriter
}

type SpoolCalls = Calls<typeof spoolStore.operations>

/** One for the process, whatever generation of the config it works for: what is under way is known to the next one. */
export class Dispatcher {
  /** `mail:n` of those under way. */
  readonly busy = new Set<string>()
  readonly #scope: Scope
  readonly #clock: Clock
  readonly #calls: SpoolCalls
  readonly #mails: LoadedMails
  readonly #workers: Worker[] = []
  readonly #lanes = new Map<number, Lane>()
  /** Lanes that can begin something, in their turn. */
  readonly #ready = new Set<Lane>()
  readonly #jobs = new Map<Promise<void>, Worker>()
  readonly #attempts: CounterMetric
  readonly #outcomes: CounterMetric
  /** Told after something was written down: notifications may be due, blobs free. */
  readonly #settled: (told: boolean, freed: number) => void
  /** Deliveries that are not slow. */
  #counted = 0
  #loading = false
  /** More destinations are due than there are lanes. */
  #more = false
  #timer: Timer | undefined
  #timerAt = Infinity
  #closed = false

  constructor(scope: Scope, store: Store, calls: SpoolCalls, settled: (told: boolean, freed: number) => void) {
    this.#scope = scope
    this.#clock = scope.clock
    this.#calls = calls
    this.#mails = new LoadedMails(store, calls)
    this.#settled = settled
    this.#attempts = scope.metrics.counter('aviso_queue_attempts_total', 'Deliveries tried from the queue, by target', [
      'target',
    ])
    this.#outcomes = scope.metrics.counter(
      'aviso_queue_outcomes_total',
      'Recipients of these deliveries, by target and outcome',
      ['target', 'outcome'],
    )
    scope.defer(() => void (this.#closed = true))
  }

  /** The newest worker has the work; undefined: nobody has. */
  get worker(): Worker | undefined {
    return this.#workers.at(-1)
  }

  /** Works with `worker` until the answered function is called, which resolves when what it began is over, or at the latest after `patience` milliseconds. */
  hire(worker: Worker): (patience: number) => Promise<void> {
    this.#workers.push(worker)
    void this.#load()
    return async (patience) => {
      this.#workers.splice(this.#workers.indexOf(worker), 1)
      this.#pump()
      const mine = [...this.#jobs].filter(([, its]) => its === worker).map(([job]) => job)
      if (mine.length === 0) return
      let timer: Timer | undefined
      const enough = new Promise<void>((resolve) => (timer = this.#clock.timeout(patience, resolve)))
      await Promise.race([Promise.all(mine), enough])
      timer?.cancel()
    }
  }

  /** Somebody is due at these destinations; `urgent`: and overtakes those who wait there. */
  wake(destinations: readonly Destination[], urgent = false): void {
    if (this.worker === undefined) return
    for (const destination of destinations) {
      const lane = this.#lanes.get(destination.id)
      if (lane === undefined) this.#open(destination)
      else if (urgent) this.#again(lane)
      else {
        lane.stale = true
        this.#advance(lane)
      }
    }
  }

  /** Looks anew at everything that is due: somebody changed it. */
  refresh(): void {
    for (const lane of this.#lanes.values()) this.#again(lane)
    void this.#load()
  }

  /** Reads from the beginning who is due there. */
  #again(lane: Lane): void {
    lane.forget()
    this.#ready.delete(lane)
    this.#advance(lane)
  }

  #open(destination: Destination): void {
    if (this.#lanes.size >= LANES) {
      this.#more = true
      return
    }
    const lane = new Lane(destination)
    this.#lanes.set(destination.id, lane)
    this.#advance(lane)
  }

  /** Opens lanes for destinations that are due. */
  async #load(): Promise<void> {
    if (this.#loading || this.worker === undefined) return
    this.#loading = true
    this.#more = false
    try {
      let after: readonly [number, number] | undefined = [-1, -1]
      while (after !== undefined && this.worker !== undefined) {
        if (this.#lanes.size >= LANES) {
          this.#more = true
          break
        }
        const found: Awaited<ReturnType<SpoolCalls['destinations']>> = await this.#calls.destinations({
          now: this.#clock.now(),
          horizon: horizon(this.worker.config),
          after,
          limit: LANES,
        })
        for (const destination of found.due) if (!this.#lanes.has(destination.id)) this.#open(destination)
        if (found.next !== undefined) this.#sleepUntil(found.next)
        after = found.after
      }
    } catch (error) {
      this.#trouble(error, 'the queue cannot be read now')
    } finally {
      this.#loading = false
      this.#sleepUntil(this.#clock.now() + LONGEST_SLEEP)
    }
  }

  /** Begins what may begin, destination by destination. */
  #pump(): void {
    const { worker } = this
    if (worker === undefined) return
    const { total, 'per-destination': each } = worker.config.parallel
    for (;;) {
      if (this.#counted >= total || this.#jobs.size >= total * SLOW_FACTOR) return
      const [lane] = this.#ready
      if (lane === undefined) return
      this.#ready.delete(lane)
      const rows = lane.take()
      if (rows.length > 0) this.#begin(worker, lane, rows)
      if (lane.ready(each)) this.#ready.add(lane)
      this.#advance(lane)
    }
  }

  /** Reads on where it is worth it, closes the lane when it is at its end. */
  #advance(lane: Lane): void {
    const { worker } = this
    if (worker === undefined || this.#lanes.get(lane.destination.id) !== lane) return
    if (lane.end && lane.stale && lane.page.length === 0) lane.rewind()
    if (!lane.fetching && !lane.end && lane.page.length < PAGE / 4) void this.#read(worker, lane)
    if (lane.idle) this.#close(lane)
    else if (lane.ready(worker.config.parallel['per-destination']) && !this.#ready.has(lane)) {
      this.#ready.add(lane)
      queueMicrotask(() => this.#pump())
    }
  }

  async #read({ config }: Worker, lane: Lane): Promise<void> {
    lane.fetching = true
    const { edition } = lane
    try {
      const now = this.#clock.now()
      const { rows, failures, until } = await this.#calls.due({
        destination: lane.destination.id,
        now,
        horizon: horizon(config),
        after: lane.cursor,
        limit: PAGE,
      })
      // Read before trouble was found, or before somebody made changes.
      if (lane.edition !== edition) return
      const last = rows.at(-1)
      if (last !== undefined) lane.cursor = [last.nextAttempt, last.mail, last.n]
      lane.end = rows.length < PAGE
      if (lane.inFlight === 0) lane.failures = failures
      // A time further away than anybody would plan was written by a clock that was wrong.
      if (until > now && until <= now + horizon(config)) {
        lane.fails(failures)
        lane.found = true
      } else for (const row of rows) if (!this.busy.has(keyOf(row))) lane.page.push(row)
      if (lane.page.length > 0) lane.found = true
    } catch (error) {
      this.#trouble(error, 'the queue cannot be read now')
      lane.end = true
      lane.found = true
    } finally {
      lane.fetching = false
      this.#advance(lane)
    }
  }

  #close(lane: Lane): void {
    this.#lanes.delete(lane.destination.id)
    this.#ready.delete(lane)
    // It was said to be due and is not: without this it would be opened again and again.
    if (!lane.found)
      this.#calls
        .rest({ destination: lane.destination.id })
        .catch((error: unknown) => this.#trouble(error, 'the queue cannot be written now'))
    if (this.#more && this.#lanes.size < LANES / 2) void this.#load()
  }

  #begin(worker: Worker, lane: Lane, rows: readonly DueRecipient[]): void {
    for (const row of rows) this.busy.add(keyOf(row))
    lane.inFlight++
    this.#counted++
    let counted = true
    const uncount = (): void => {
      if (!counted) return
      counted = false
      this.#counted--
      this.#pump()
    }
    const slow = this.#clock.timeout(SLOW, uncount)
    const job = this.#work(worker, lane, rows).finally(() => {
      slow.cancel()
      for (const row of rows) this.busy.delete(keyOf(row))
      lane.inFlight--
      this.#jobs.delete(job)
      uncount()
      this.#advance(lane)
      this.#pump()
    })
    this.#jobs.set(job, worker)
  }

  /** One attempt, from the reading of the mail to the writing down of what became of it. Never rejects. */
  async #work(worker: Worker, lane: Lane, rows: readonly DueRecipient[]): Promise<void> {
    const { target } = lane.destination
    const { troubles } = lane
    let loaded: Loaded | undefined
    let results: readonly Result[]
    try {
      loaded = await this.#mails.get(rows[0]?.mail ?? 0)
      // Taken out of the queue meanwhile.
      if (loaded === undefined) return
      results = await this.#withCeiling(attempt(worker, target, loaded, rows), rows)
    } catch (error) {
      this.#scope.log.error({ err: error, target }, 'a queued mail cannot be read')
      results = rows.map((row) => later(row, UNREADABLE))
    }
    this.#attempts.inc({ target })
    const conclusion = conclude(
      results,
      {
        destination: lane.destination.id,
        target,
        failures: lane.failures,
        outdated: lane.troubles > troubles,
      },
      worker.config,
      this.#clock.now(),
      this.#scope.random,
    )
    const { outage, later: waiting } = conclusion.settlement
    if (outage === null) {
      // What waits for the destination is due: it was kept for this moment.
      if (lane.works()) lane.stale = true
    } else if (outage !== undefined) {
      lane.fails(outage.failures)
      this.#ready.delete(lane)
    }
    await this.#write(conclusion)
    if (outage !== null && outage !== undefined) this.#sleepUntil(outage.until)
    else for (const { nextAttempt } of waiting) this.#sleepUntil(nextAttempt)
    this.#tell(worker, lane.destination, loaded, results, conclusion)
  }

  /** A target that never answers is a failure that may pass; what it says later nobody hears. */
  async #withCeiling(attempted: Promise<readonly Result[]>, rows: readonly DueRecipient[]): Promise<readonly Result[]> {
    let timer: Timer | undefined
    const ceiling = new Promise<readonly Result[]>((resolve) => {
      timer = this.#clock.timeout(CEILING, () => resolve(rows.map((row) => later(row, HUNG))))
    })
    try {
      return await Promise.race([attempted, ceiling])
    } finally {
      timer?.cancel()
    }
  }

  /** Until it is written down nobody may try these recipients again: what was delivered would be delivered twice. */
  async #write({ settlement }: Conclusion): Promise<void> {
    for (;;)
      try {
        const { told, freed } = await this.#calls.settle(settlement)
        this.#settled(told, freed)
        return
      } catch (error) {
        if (this.#closed) return
        this.#scope.log.error({ err: error }, 'what became of a queued mail cannot be written down yet')
        await new Promise<void>((resolve) => this.#clock.timeout(DATABASE_RETRY, resolve))
        if (this.#closed) return
      }
  }

  #tell(
    { log, stories }: Worker,
    { target, name }: Destination,
    loaded: Loaded | undefined,
    results: readonly Result[],
    { counts }: Conclusion,
  ): void {
    for (const [outcome, count] of Object.entries(counts)) if (count > 0) this.#outcomes.inc({ target, outcome }, count)
    if (loaded === undefined) return
    const { id, created } = loaded.mail
    stories.more(id, stepsOf(results, target, Math.max(0, this.#clock.now() - created)))
    if (log.isLevelEnabled('info'))
      for (const { row, failure, remote, how } of results)
        log.info(
          {
            event: failure === undefined ? 'mail-delivered' : failure.code < 500 ? 'mail-postponed' : 'mail-bounced',
            mail: id,
            recipient: row.address,
            target: name === '' ? target : `${target} ${name}`,
            ...(remote === undefined ? {} : { remote }),
            ...(how === undefined ? {} : { how }),
            ...(failure === undefined ? {} : { code: failure.code, enhanced: failure.enhanced, why: failure.text }),
          },
          failure === undefined ? 'queued mail delivered' : 'queued mail not delivered',
        )
  }

  #sleepUntil(at: number): void {
    if (this.#closed || at >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = at
    const ms = Math.min(LONGEST_SLEEP, Math.max(10, at - this.#clock.now()))
    this.#timer = this.#scope.timeout(ms, () => {
      this.#timer = undefined
      this.#timerAt = Infinity
      return this.#load()
    })
  }

  #trouble(error: unknown, what: string): void {
    if (this.#closed || this.#scope.signal.aborted) return
    this.#scope.log.error({ err: error }, what)
    this.#sleepUntil(this.#clock.now() + DATABASE_RETRY)
  }
}

const keyOf = ({ mail, n }: { readonly mail: number; readonly n: number }): string => `${mail}:${n}`

const UNREADABLE: LastError = { code: 451, enhanced: '4.3.0', text: 'The mail cannot be read now', remote: '' }
const HUNG: LastError = { code: 451, enhanced: '4.4.2', text: 'The delivery did not come to an end', remote: '' }

const later = (row: DueRecipient, failure: LastError): Result => ({
  row,
  failure,
  remote: undefined,
  how: undefined,
  relayed: false,
})
