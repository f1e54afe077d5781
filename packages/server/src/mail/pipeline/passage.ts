// One mail's way through a pipeline: MAIL, then RCPT by RCPT, then the data or nothing. Nothing is accepted before it is safe.

import type { MailAddress } from '@aviso/mime'
import { type MailParameters, type RecipientParameters, SmtpError } from '@aviso/smtp'
import { randomWord } from '../../kernel/random.ts'
import type { Pass } from '../../net/gates.ts'
import { Chronicle } from './chronicle.ts'
import {
  accept,
  type Awaitable,
  type Client,
  type Finding,
  finding,
  type HeaderEdit,
  type Mail,
  type MailCheck,
  type Outcome,
  type Recipient,
  type Routed,
  type Verdict,
} from './contracts.ts'
import { Findings } from './findings.ts'
import { Itinerary, type Leg, modified, type Way } from './itinerary.ts'
import type { Message } from './message.ts'
import type { PassageOptions, Pipeline } from './pipeline.ts'
import { authenticationResults, forgedResults, received } from './received.ts'
import type { Route } from './routes.ts'
import { type Around, askAll, type Judged, type NamedCheck, worst } from './stage.ts'
import type { Step } from './trace.ts'

/** What a pipeline found out about a mail before it sent it into another one. */
export interface Found {
  readonly quarantined: boolean
  /** As `Mail.results`. */
  readonly results: readonly string[]
}

export class Passage implements Mail {
  readonly id: string
  readonly client: Client
  readonly reversePath: MailAddress | null
  sender: MailAddress | null
  readonly parameters: MailParameters
  readonly received: number
  readonly recipients: Recipient[] = []
  readonly results: string[] = []
  readonly simulated: boolean
  readonly external: boolean
  readonly #pipeline: Pipeline
  readonly #each: boolean
  readonly #findings = new Findings()
  readonly #chronicle: Chronicle
  readonly #itinerary: Itinerary
  readonly #edits: HeaderEdit[] = []
  /** Those that want to be told when the mail is over. */
  readonly #witnesses = new Set<NamedCheck>()
  /** Those that are not asked, as the mail is only supposed. */
  readonly #spared = new Set<NamedCheck>()
  /** Its place within the limits. */
  #pass: Pass | undefined
  /** The same for each recipient domain, the first time that it is named. */
  readonly #domains = new Map<string, Pass>()
  #quarantined = false
  #discarded = false
  /** What Authentication-Results of ours there are in the message is true: a pipeline before this one wrote them. */
  #ours = false

  constructor(
    pipeline: Pipeline,
    client: Client,
    sender: MailAddress | null,
    parameters: MailParameters,
    { id, simulated = false, external = false, each = false }: PassageOptions,
  ) {
    this.#pipeline = pipeline
    this.id = id ?? randomWord(pipeline.scope.random, 16)
    this.client = client
    this.reversePath = sender
    this.sender = sender
    this.parameters = parameters
    this.received = pipeline.scope.clock.now()
    this.simulated = simulated
    this.external = external
    this.#each = each
    this.#chronicle = new Chronicle(pipeline, this)
    this.#itinerary = new Itinerary(pipeline.options, this, this.#chronicle, each)
  }

  once<T>(name: Finding<T>, make: () => Promise<T>): Promise<T> {
    return this.#findings.once(name, make)
  }

  /** What was decided so far. */
  get steps(): readonly Step[] {
    return this.#chronicle.steps
  }

  /** MAIL. Throws the `SmtpError` of the worst verdict when that is to reject or to defer. */
  async begin(): Promise<void> {
    try {
      const { checks, limits } = this.#pipeline.options
      if (!this.simulated) this.#pass = await limits?.enter(this)
      await this.#meet(checks)
      const asked = this.#ask('sender', checks, (check) => check.sender?.(this))
      if (asked instanceof Promise) await asked
      this.sender = await this.#itinerary.rewrittenSender(this.#pipeline.options.modifiers, this.sender)
    } catch (error) {
      this.#over()
      throw this.#chronicle.refused(error, 'sender')
    }
  }

  /** Takes one recipient. Throws `SmtpError` when it is refused. */
  async recipient(address: MailAddress, parameters: RecipientParameters): Promise<void> {
    const recipient: Recipient = { address, parameters }
    try {
      const { checks } = this.#pipeline.options
      if (this.#pipeline.options.limits !== undefined) await this.#enterDomain(address.domain.toLowerCase())
      const asked = this.#ask('recipient', checks, (check) => check.recipient?.(this, recipient), recipient)
      if (asked instanceof Promise) await asked
      await this.#itinerary.add(address, recipient)
      this.recipients.push(recipient)
    } catch (error) {
      throw this.#chronicle.refused(error, 'recipient', recipient)
    }
  }

  /** The checks of a route that a recipient takes; the first one makes up for the stages that have passed. Throws `SmtpError`. */
  async enter({ checks }: Route, recipient: Recipient, first: boolean): Promise<void> {
    if (first) {
      await this.#meet(checks)
      await this.#ask('sender', checks, (check) => check.sender?.(this))
    }
    await this.#ask('recipient', checks, (check) => check.recipient?.(this, recipient), recipient)
  }

  /**
   * Takes the message. Resolves when it is safe for every recipient, with what became of each; throws `SmtpError` when the client must keep it. A recipient's failure
   * that the client cannot be told of goes to the queue, which tries again or tells the sender. `before`: what the pipeline found that sent it here.
   */
  async data(message: Message, before?: Found): Promise<readonly Outcome[]> {
    if (before !== undefined) {
      this.#quarantined ||= before.quarantined
      this.results.unshift(...before.results)
      // One field has all of them. What the queue kept meanwhile is known from the message alone.
      this.#ours = before.results.length === 0
    }
    for (const pass of this.#passes()) pass.spend(message.size)
    try {
      const checked = await this.#check(message)
      const outcomes = this.#discarded ? [] : await this.#deliver(checked)
      if (this.#discarded) this.#itinerary.abort()
      this.#chronicle.accepted(this.#fate, message.size)
      return outcomes
    } catch (error) {
      this.#itinerary.abort()
      throw this.#chronicle.refused(error, 'content', undefined, message.size)
    } finally {
      this.#over()
    }
  }

  /** The mail ends without data. */
  abort(): void {
    this.#itinerary.abort()
    this.#chronicle.abandoned()
    this.#over()
  }

  #over(): void {
    for (const pass of this.#passes()) pass.release()
    this.#pass = undefined
    this.#domains.clear()
    for (const { name, check } of this.#witnesses)
      try {
        check.end?.(this)
      } catch (error) {
        this.client.log.error({ err: error, check: name, mail: this.id }, 'a check could not end its work on a mail')
      }
    this.#witnesses.clear()
  }

  *#passes(): Generator<Pass> {
    if (this.#pass !== undefined) yield this.#pass
    yield* this.#domains.values()
  }

  async #enterDomain(domain: string): Promise<void> {
    const { limits } = this.#pipeline.options
    if (limits === undefined || this.simulated || this.#domains.has(domain)) return
    this.#domains.set(domain, await limits.enterDomain(this, domain))
  }

  get #fate(): 'accepted' | 'quarantined' | 'discarded' | 'simulated' {
    if (this.simulated) return 'simulated'
    if (this.#discarded) return 'discarded'
    return this.#quarantined ? 'quarantined' : 'accepted'
  }

  /** Shows the message to the checks, and makes the changes that they want. */
  async #check(message: Message): Promise<Message> {
    const { checks } = this.#pipeline.options
    const { entered } = this.#itinerary
    const all = entered.size === 0 ? checks : [...checks, ...[...entered].flatMap((route) => route.checks)]
    let checked = message
    for (const { verdict } of await this.#ask('content', all, (check) => check.content?.(this, message))) {
      if (verdict.message !== undefined) checked = verdict.message
      if (verdict.sender !== undefined) {
        this.sender = verdict.sender
        await this.#itinerary.senderChanged()
      }
      for (const address of verdict.remove ?? []) await this.#itinerary.remove(address)
      for (const address of verdict.add ?? []) await this.#itinerary.add(address, { address, parameters: {} })
    }
    return checked
  }

  async #deliver(checked: Message): Promise<readonly Outcome[]> {
    const { hostname } = this.#pipeline.options
    const results = authenticationResults(hostname, this.results)
    const ours: HeaderEdit = {
      prepend: [...(results === undefined ? [] : [results]), received(this, hostname)],
      // RFC 5321 §4.4: the one Return-Path is made at the final delivery, whatever the client wrote.
      remove: ['Return-Path'],
      change: this.#ours ? [] : (forgedResults(checked.header, hostname) ?? []),
    }
    const base = checked.edited([ours, ...this.#edits])
    const legs = this.#itinerary.legs.filter(({ routed }) => routed.length > 0)
    const copies = new Map<Way, Message>()
    for (const { way, mail, delivery } of legs) {
      let copy = copies.get(way)
      if (copy === undefined) copies.set(way, (copy = await modified(mail, base, way)))
      if (!this.simulated) await delivery.body(copy, this.#quarantined)
    }
    if (!this.simulated) return this.#commit(legs, copies)
    await this.#suppose(legs, copies)
    return []
  }

  /** Asks targets that decide themselves. The mail would be refused when nobody took it. */
  async #suppose(legs: readonly Leg[], copies: ReadonlyMap<Way, Message>): Promise<void> {
    const refusals: SmtpError[] = []
    for (const { to, way, delivery } of legs) {
      const copy = copies.get(way)
      const supposed = copy === undefined ? undefined : await delivery.suppose?.(copy)
      for (const { after: _, by, ...step } of supposed?.steps ?? [])
        this.#chronicle.add({ ...step, by: `${to.key} ${by}` })
      if (supposed?.refusal !== undefined) refusals.push(supposed.refusal)
    }
    const [first] = refusals
    if (first !== undefined && refusals.length === legs.length) throw first
  }

  /** The queue first: what it cannot keep must not be half delivered. What a target cannot take now, the queue takes for later. */
  async #commit(legs: readonly Leg[], copies: ReadonlyMap<Way, Message>): Promise<readonly Outcome[]> {
    const all: Outcome[] = []
    const failed: { readonly leg: Leg; readonly outcome: Outcome }[] = []
    const queued = legs.filter(({ to }) => to.target.queued)
    const kept =
      queued.length === 0 ? [] : await this.#pipeline.options.queue.commit(queued.map(({ delivery }) => delivery))
    for (const [i, { to, routed }] of queued.entries())
      for (const outcome of complete(routed, kept[i] ?? [])) {
        this.#chronicle.landed(to.key, outcome)
        if (outcome.failure !== undefined) throw outcome.failure
        all.push(outcome)
      }
    for (const leg of legs) {
      if (leg.to.target.queued) continue
      for (const outcome of complete(leg.routed, await leg.delivery.commit())) {
        this.#chronicle.landed(leg.to.key, outcome)
        all.push(outcome)
        if (outcome.failure !== undefined) failed.push({ leg, outcome })
      }
    }
    await this.#tellOfSuccess(legs, copies, all)
    if (this.#each || failed.length === 0) return all
    if (failed.length === all.length && failed[0]?.outcome.failure !== undefined) throw failed[0].outcome.failure
    for (const leg of new Set(failed.map((one) => one.leg))) {
      const copy = copies.get(leg.way)
      if (copy === undefined) continue
      const later = this.#pipeline.options.queue.for(leg.to).target.begin(leg.mail)
      for (const { outcome } of failed.filter((one) => one.leg === leg)) await later.add(outcome.routed)
      await later.body(copy, this.#quarantined)
      for (const { failure } of await later.commit()) if (failure !== undefined) throw failure
    }
    return all
  }

  /** RFC 3461 §4.1: for those who are not in the queue, which tells of its own. A notification that cannot be kept is no reason to refuse a mail that is delivered. */
  async #tellOfSuccess(
    legs: readonly Leg[],
    copies: ReadonlyMap<Way, Message>,
    outcomes: readonly Outcome[],
  ): Promise<void> {
    for (const { to, way, mail, routed } of legs) {
      // What goes on through another pipeline is told of by that one.
      if (to.target.queued || to.key.startsWith('pipeline/')) continue
      const wanted = outcomes.filter(
        (outcome) =>
          outcome.failure === undefined &&
          outcome.relayed !== true &&
          outcome.routed.recipient.parameters.notify?.includes('SUCCESS') === true &&
          routed.includes(outcome.routed),
      )
      const copy = copies.get(way)
      if (wanted.length === 0 || copy === undefined) continue
      try {
        await this.#pipeline.options.queue.delivered(
          mail,
          copy,
          wanted.map((outcome) => outcome.routed),
        )
      } catch (error) {
        this.client.log.error({ err: error, mail: this.id }, 'a sender cannot be told that the mail was delivered')
      }
    }
  }

  /** The checks that judge the peer: once a session. */
  async #meet(checks: readonly NamedCheck[]): Promise<void> {
    for (const named of this.#asked('connection', checks)) {
      if (named.check.connection === undefined) continue
      const name = `connection:${this.#pipeline.options.name}:${named.name}`
      const verdict = await this.client.once(finding<Verdict>(name), async () => {
        const [judged] = await askAll([named], (check) => check.connection?.(this.client), this.#around)
        return judged?.verdict ?? accept()
      })
      this.#weigh('connection', [{ check: named.name, verdict }], undefined)
    }
  }

  /** Runs one stage. Throws the `SmtpError` of the worst verdict when that is to reject or to defer. */
  #ask(
    stage: Step['stage'],
    checks: readonly NamedCheck[],
    ask: (check: MailCheck) => Awaitable<Verdict> | undefined,
    recipient?: Recipient,
  ): Awaitable<readonly Judged[]> {
    const all = this.#asked(stage, checks)
    if (all.length === 0) return []
    for (const named of all) if (named.check.end !== undefined) this.#witnesses.add(named)
    const asked = askAll(all, ask, this.#around)
    if (!(asked instanceof Promise)) return this.#weigh(stage, asked, recipient)
    return asked.then((judged) => this.#weigh(stage, judged, recipient))
  }

  /** The checks to ask: of a mail that is only supposed, not those that may remember it. */
  #asked(stage: Step['stage'], checks: readonly NamedCheck[]): readonly NamedCheck[] {
    if (!this.simulated || this.external) return checks
    return checks.filter((named) => {
      if (named.check.external !== true) return true
      if (!this.#spared.has(named))
        this.#chronicle.add({
          stage,
          by: named.name,
          did: 'not asked',
          why: 'it is a program outside of this server, which may remember the mail (--external)',
        })
      this.#spared.add(named)
      return false
    })
  }

  /** Takes over what the checks said, and throws when that is to reject or to defer. */
  #weigh(stage: Step['stage'], judged: readonly Judged[], recipient: Recipient | undefined): readonly Judged[] {
    this.#chronicle.judged(stage, judged, recipient)
    for (const { verdict } of judged) {
      if (verdict.results !== undefined) this.results.push(...verdict.results)
      if (verdict.edit !== undefined) this.#edits.push(verdict.edit)
      if (verdict.action === 'quarantine') this.#quarantined = true
      if (verdict.action === 'discard') this.#discarded = true
    }
    const found = worst(judged)
    if (found === undefined || !('reply' in found.verdict)) return judged
    this.#chronicle.refusedBy(found)
    throw found.verdict.reply
  }

  get #around(): Around {
    return { clock: this.#pipeline.scope.clock, log: this.client.log, mail: this.id }
  }
}

/** A recipient that a target says nothing of has not got the mail, as far as anybody knows. */
function complete(routed: readonly Routed[], outcomes: readonly Outcome[]): readonly Outcome[] {
  if (routed.length === outcomes.length && routed.every((one, i) => outcomes[i]?.routed === one)) return outcomes
  const told = new Set(outcomes.map((outcome) => outcome.routed))
  const untold = routed.filter((one) => !told.has(one))
  if (untold.length === 0) return outcomes
  const failure = new SmtpError(451, '4.3.0', 'It is not known whether the mail was delivered, please try again later')
  return [...outcomes, ...untold.map((one) => ({ routed: one, failure }))]
}
