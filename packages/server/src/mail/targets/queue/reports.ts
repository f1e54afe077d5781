// Notifications on their way: written down with what they tell of, composed, and handed to the pipeline `local` until it takes them.

import { parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import { asDomain } from '../../authentication/domain.ts'
import type { Timer } from '../../../kernel/clock.ts'
import type { CounterMetric } from '../../../kernel/metrics.ts'
import type { Scope } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import { composeReport } from '../../notifications/report.ts'
import type { Client } from '../../pipeline/contracts.ts'
import { Findings } from '../../pipeline/findings.ts'
import { Message } from '../../pipeline/message.ts'
import { asSmtpError } from '../../pipeline/refusal.ts'
import type { QueueConfig } from './config.ts'
import type { QueueWork } from './queue.ts'
import { messageOf, parametersOf } from './remembered.ts'
import type { Begun } from './report-operations.ts'
import { horizon, wait } from './schedule.ts'
import type { spoolStore } from './store.ts'

/** Notifications handed over at the same time. */
const AT_ONCE = 4
const LONGEST_SLEEP = 60_000

/** Who does it. */
interface Reporter {
  readonly work: QueueWork
  readonly config: QueueConfig
}

export class Reports {
  readonly #scope: Scope
  readonly #store: Store
  readonly #calls: Calls<typeof spoolStore.operations>
  readonly #reporters: Reporter[] = []
  readonly #counted: CounterMetric
  #working: Promise<void> | undefined
  #again = false
  #timer: Timer | undefined

  constructor(scope: Scope, store: Store, calls: Calls<typeof spoolStore.operations>) {
    this.#scope = scope
    this.#store = store
    this.#calls = calls
    this.#counted = scope.metrics.counter(
      'aviso_queue_notifications_total',
      'Notifications to senders, by kind and what became of them',
      ['kind', 'outcome'],
    )
  }

  /** Hands notifications over with `work` until the answered function is called, which waits for those under way. */
  hire(work: QueueWork, config: QueueConfig): (patience: number) => Promise<void> {
    const reporter = { work, config }
    this.#reporters.push(reporter)
    this.look()
    return async (patience) => {
      this.#reporters.splice(this.#reporters.indexOf(reporter), 1)
      if (this.#working === undefined || this.#reporters.length > 0) return
      let timer: Timer | undefined
      const enough = new Promise<void>((resolve) => (timer = this.#scope.clock.timeout(patience, resolve)))
      await Promise.race([this.#working, enough])
      timer?.cancel()
    }
  }

  /** Some may be due. */
  look(): void {
    this.#again = true
    if (this.#working !== undefined || this.#reporters.length === 0 || this.#scope.signal.aborted) return
    this.#working = this.#all().finally(() => {
      this.#working = undefined
      // Somebody may have called in the last moment.
      if (this.#again) this.look()
    })
  }

  async #all(): Promise<void> {
    let next: number | undefined
    try {
      while (this.#again) {
        this.#again = false
        for (let found = AT_ONCE; found === AT_ONCE;) {
          const reporter = this.#reporters.at(-1)
          if (reporter === undefined || this.#scope.signal.aborted) return
          const due = await this.#calls.dueReports({
            now: this.#scope.clock.now(),
            horizon: horizon(reporter.config),
            limit: AT_ONCE,
          })
          found = due.length
          await Promise.all(due.map((seq) => this.#one(reporter, seq)))
        }
        next = await this.#calls.nextReport()
      }
    } catch (error) {
      if (!this.#scope.signal.aborted) this.#scope.log.error({ err: error }, 'notifications cannot be read now')
      next = this.#scope.clock.now() + LONGEST_SLEEP
    }
    if (next === undefined || this.#scope.signal.aborted) return
    this.#timer?.cancel()
    const ms = Math.min(LONGEST_SLEEP, Math.max(100, next - this.#scope.clock.now()))
    this.#timer = this.#scope.timeout(ms, () => this.look())
  }

  /** Hands one over. Rejects only when the database cannot be had. */
  async #one({ work, config }: Reporter, seq: number): Promise<void> {
    const begun = await this.#calls.beginReport({ seq })
    if (begun === undefined) {
      await this.#calls.endReport({ seq })
      return
    }
    const { kind, created, attempts, mail } = begun
    try {
      await this.#send({ work, config }, begun)
      this.#counted.inc({ kind, outcome: 'sent' })
    } catch (error) {
      const refusal = asSmtpError(error)
      const now = this.#scope.clock.now()
      if (refusal.temporary && now < created + config.expire) {
        if (!(error instanceof SmtpError)) this.#scope.log.error({ err: error, mail: mail.id }, 'a notification failed')
        await this.#calls.postponeReport({ seq, due: now + wait(config, attempts + 1, this.#scope.random) })
        return
      }
      // RFC 5321 §6.1: a notification that cannot be delivered is not told of by another.
      this.#counted.inc({ kind, outcome: 'lost' })
      this.#scope.log.warn(
        { event: 'notification-lost', mail: mail.id, sender: mail.sender, why: refusal.message },
        'a sender cannot be notified',
      )
    }
    await this.#calls.endReport({ seq })
  }

  async #send({ work, config }: Reporter, begun: Begun): Promise<void> {
    const { local, hostname, accounts, stories } = work
    const { id, kind, mail, facts } = begun
    const sender = parseMailAddress(mail.sender)
    if (sender === null || sender === undefined) throw new SmtpError(553, '5.1.7', 'The sender is no address')
    const message = await messageOf(this.#store, mail, begun.bytes)
    const parameters = parametersOf(mail.parameters)
    const domains = accounts.domains()
    const report = await composeReport({
      id,
      kind,
      facts,
      hostname,
      domain:
        asDomain(config['notification-domain'] ?? '') ??
        (domains.includes(sender.domain) ? sender.domain : (domains[0] ?? hostname)),
      at: this.#scope.clock.now(),
      mail: { ...mail, parameters, message },
    })
    // The same name each time: who has it already, as we were killed then, does not take it again.
    const passage = await local().begin(
      this.#client(id),
      null,
      { body: report.body, smtpUtf8: report.smtpUtf8, requireTls: parameters.requireTls },
      { id },
    )
    try {
      await passage.recipient(sender, { notify: ['NEVER'] })
    } catch (error) {
      passage.abort()
      throw error
    }
    await passage.data(Message.of(report.bytes))
    stories.more(mail.id, [
      {
        after: Math.max(0, this.#scope.clock.now() - mail.created),
        stage: 'delivery',
        by: 'queue',
        did: `told the sender of ${kind} (mail ${id})`,
        recipient: mail.sender,
      },
    ])
  }

  #client(id: string): Client {
    const findings = new Findings()
    return {
      session: id,
      log: this.#scope.log,
      protocol: 'local',
      remoteAddress: '',
      hello: '',
      extended: true,
      tls: undefined,
      account: undefined,
      once: (finding, make) => findings.once(finding, make),
    }
  }
}
