// XEP-0050 §3: commands that are being run, from their first form to their end

import { el, type Element, StanzaError } from '@aviso/xmpp'
import { RecentMap } from '../../accounts/recent.ts'
import type { Clock } from '../../kernel/clock.ts'
import { type Random, randomWord } from '../../kernel/random.ts'
import type { FormStage, Stage } from './commands.ts'
import type { IqRequest } from './contracts.ts'
import { Submission } from './forms.ts'

export const COMMANDS = 'http://jabber.org/protocol/commands'

/** A command that waits for its next stage. */
interface Running {
  readonly node: string
  /** Where it is run. */
  readonly at: string
  /** The full JID that runs it. */
  readonly owner: string
  /** Whose it is, for the limits. */
  readonly account: string
  /** The stages so far; the last one is being filled in. */
  readonly stages: FormStage[]
  expires: number
}

/** How many commands may be open, and for how long. */
export interface CommandLimits {
  /** Milliseconds that a form may stay open. */
  readonly lifetime: number
  /** Commands that wait for their next form. */
  readonly 'max-open': number
  /** The same for one account; its oldest gives way. */
  readonly 'max-open-per-account': number
}

export class CommandSessions {
  readonly #limits: CommandLimits
  readonly #clock: Clock
  readonly #random: Random
  readonly #open: RecentMap<string, Running>
  /** The ids of the commands of an account, oldest first. */
  readonly #ofAccount: RecentMap<string, readonly string[]>

  constructor(limits: CommandLimits, { clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#limits = limits
    this.#clock = clock
    this.#random = random
    this.#open = new RecentMap(limits['max-open'])
    this.#ofAccount = new RecentMap(limits['max-open'])
  }

  /**
   * Answers a request with `<command/>`, from somebody who may run that command; `account`: whose it is. `run` begins it; it is handed what a client has filled in without having
   * seen the form. @throws StanzaError
   */
  async answer(
    iq: IqRequest,
    account: string,
    run: (filled: Submission | undefined) => Stage | Promise<Stage>,
  ): Promise<Element> {
    const { payload } = iq
    const node = payload.get('node') ?? ''
    const action = payload.get('action') ?? 'execute'
    if (!ACTIONS.has(action)) throw refuse('bad-request', 'malformed-action')
    const sessionId = payload.get('sessionid')
    if (sessionId === undefined) {
      if (action !== 'execute') throw refuse('bad-request', 'bad-action')
      const stage = await run(Submission.of(payload))
      const id = randomWord(this.#random, 20)
      const at = iq.to.toString()
      if (!('done' in stage))
        this.#begin(id, { node, at, owner: iq.from.toString(), account, stages: [stage], expires: this.#expiry() })
      return iq.result(response(node, id, stage, 1))
    }
    return this.#goOn(iq, node, action, sessionId)
  }

  async #goOn(iq: IqRequest, node: string, action: string, sessionId: string): Promise<Element> {
    const running = this.#open.get(sessionId)
    // Whose it is, is nobody else's business.
    if (running?.owner !== iq.from.toString() || running.node !== node || running.at !== iq.to.toString())
      throw refuse('bad-request', 'bad-sessionid')
    if (running.expires < this.#clock.now()) {
      this.#end(sessionId, running)
      throw refuse('not-allowed', 'session-expired')
    }
    const { stages } = running
    const current = stages.at(-1)
    if (current === undefined) throw refuse('bad-request', 'bad-sessionid')
    if (action === 'cancel') {
      this.#end(sessionId, running)
      return iq.result(el('command', { xmlns: COMMANDS, node, sessionid: sessionId, status: 'canceled' }))
    }
    if (action === 'prev') {
      const before = stages.at(-2)
      if (before === undefined) throw refuse('bad-request', 'bad-action')
      stages.pop()
      running.expires = this.#expiry()
      return iq.result(response(node, sessionId, before, stages.length))
    }
    if (action === 'next' && current.more !== true) throw refuse('bad-request', 'bad-action')
    const filled = Submission.of(iq.payload)
    if (filled === undefined) throw refuse('bad-request', 'bad-payload')
    const stage = await current.next(filled)
    if ('done' in stage) this.#end(sessionId, running)
    else {
      if (stages.length >= MAX_STAGES) throw StanzaError.of('resource-constraint', 'this goes on for too long')
      stages.push(stage)
      running.expires = this.#expiry()
    }
    return iq.result(response(node, sessionId, stage, stages.length))
  }

  #expiry(): number {
    return this.#clock.now() + this.#limits.lifetime
  }

  #begin(id: string, running: Running): void {
    const mine = (this.#ofAccount.get(running.account) ?? []).filter((other) => this.#open.peek(other) !== undefined)
    while (mine.length >= this.#limits['max-open-per-account']) this.#open.delete(mine.shift() ?? '')
    this.#open.set(id, running)
    this.#ofAccount.set(running.account, [...mine, id])
  }

  #end(id: string, { account }: Running): void {
    this.#open.delete(id)
    const left = (this.#ofAccount.get(account) ?? []).filter((other) => other !== id)
    this.#ofAccount.set(account, left)
  }
}

const ACTIONS: ReadonlySet<string> = new Set(['execute', 'next', 'complete', 'prev', 'cancel'])
const MAX_STAGES = 20

const refuse = (
  condition: 'bad-request' | 'not-allowed',
  app: 'malformed-action' | 'bad-action' | 'bad-sessionid' | 'session-expired' | 'bad-payload',
): StanzaError => StanzaError.of(condition, '', { app: el(app, { xmlns: COMMANDS }) })

function response(node: string, sessionid: string, stage: Stage, depth: number): Element {
  if ('done' in stage)
    return el(
      'command',
      { xmlns: COMMANDS, node, sessionid, status: 'completed' },
      stage.form,
      stage.note !== undefined && el('note', { type: 'info' }, stage.note),
      stage.warning !== undefined && el('note', { type: 'warn' }, stage.warning),
    )
  const forward = stage.more === true ? 'next' : 'complete'
  return el(
    'command',
    { xmlns: COMMANDS, node, sessionid, status: 'executing' },
    el('actions', { execute: forward }, depth > 1 && el('prev'), el(forward)),
    stage.form,
  )
}
