// The mail rooms with other servers made of a list: what each says to whom, and what it got.

import type { TestContext } from 'node:test'
import { SmtpError } from '@aviso/smtp'
import type { Delivery, Mail, MailTarget, Outcome, Routed } from '../../../src/mail/pipeline/contracts.ts'
import type { Message } from '../../../src/mail/pipeline/message.ts'
import { HandClock } from '../../../src/kernel/clock.ts'
import { openHouse, type Options } from '../pipeline/house.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** A clock that somebody sets, while timers go on as they were. */
export class SetClock extends HandClock {
  #offset = 0

  override now(): number {
    return super.now() + this.#offset
  }

  /** Sets it forward, or back. */
  set(ms: number): void {
    this.#offset += ms
  }
}

/** What a server says: nothing (it takes the mail), a refusal, something thrown, or what comes later. */
export type Answer = SmtpError | Error | 'forgets' | Promise<SmtpError | undefined> | undefined

export interface Got {
  readonly to: string
  readonly sender: string
  readonly message: string
  readonly id: string
}

/** All servers of the world, by domain. What an address is answered goes before what its domain is answered. */
export class World implements MailTarget {
  readonly queued = true
  readonly byDomain = true
  readonly answers = new Map<string, Answer>()
  readonly got: Got[] = []
  /** Recipients of each delivery, in their order. */
  readonly deliveries: (readonly string[])[] = []
  /** Domains whose servers are not even asked: it is we who say what `answers` has for them. */
  readonly unasked = new Set<string>()
  /** The servers promise notifications of their own. */
  relayed = false
  running = 0
  most = 0

  begin(mail: Mail): Delivery {
    const routed: Routed[] = []
    let message: Message | undefined
    return {
      add: (one) => {
        routed.push(one)
      },
      body: (whole) => {
        message = whole
      },
      commit: async () => {
        this.deliveries.push(routed.map(({ address }) => address.toString()))
        this.most = Math.max(this.most, ++this.running)
        try {
          const text = Buffer.from((await message?.whole()) ?? []).toString('utf8')
          const outcomes: Outcome[] = []
          for (const one of routed) {
            const to = one.address.toString()
            const answer = this.answers.has(to) ? this.answers.get(to) : this.answers.get(one.address.domain)
            if (answer === 'forgets') continue
            if (answer instanceof Error && !(answer instanceof SmtpError)) throw answer
            const failure = answer instanceof Promise ? await answer : answer
            const remote = this.unasked.has(one.address.domain) ? {} : { remote: `mx.${one.address.domain}` }
            outcomes.push({
              routed: one,
              failure,
              ...remote,
              ...(failure === undefined ? { relayed: this.relayed } : {}),
            })
            if (failure === undefined)
              this.got.push({ to, sender: mail.sender?.toString() ?? '', message: text, id: mail.id })
          }
          return outcomes
        } finally {
          this.running--
        }
      },
      abort: () => {},
    }
  }

  /** Who has got mail, in order of arrival. */
  get reached(): readonly string[] {
    return this.got.map(({ to }) => to)
  }
}

export const unreachable = () => new SmtpError(451, '4.4.1', 'No answer from the server')
export const unknownUser = () => new SmtpError(550, '5.1.1', 'No such user here')
export const greylisted = () => new SmtpError(450, '4.7.1', 'Come back later')

export type QueueHouse = Awaited<ReturnType<typeof openQueueHouse>>

/** A house whose mail for everybody outside of example.org goes to `world`. */
export async function openQueueHouse(t: TestContext, options: Options = {}) {
  const world = new World()
  const routes = [{ recipient: ['*.example', '*.test'], deliver: ['sink'] }]
  const { config = {} } = options
  const clock = new SetClock()
  const house = await openHouse(t, {
    ...options,
    clock,
    sink: world,
    config: {
      ...config,
      targets: { sink: true, ...config.targets },
      incoming: { routes, ...config.incoming },
      // Making keys takes as long as it takes.
      outgoing: { routes, modifiers: { dkim: false }, ...config.outgoing },
      local: { routes, modifiers: { dkim: false }, ...config.local },
    },
  })
  return {
    ...house,
    clock,
    world,
    /** Lets everything that is due happen. */
    settle: () => house.pass(0),
    /** Until something is so that the disk has a part in. */
    async until(holds: () => Promise<boolean>): Promise<void> {
      for (let tries = 0; !(await holds()); tries++) {
        if (tries > 1000) throw new Error('it never came to be so')
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    },
    /** A mail of anna's. */
    anna: (to: readonly string[], more: Partial<Parameters<typeof house.submit>[0]> = {}) =>
      house.submit({ as: 'anna', to, ...more }),
    /** Notifications that anna has got. */
    reports: async () => house.mails('anna'),
  }
}
