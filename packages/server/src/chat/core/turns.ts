// RFC 6120 §10.1: the messages of one sender arrive in their order, also where some of them have to be safe first and others need not.

import { type Element, Underway } from '@aviso/xmpp'
import type { Kept, Origin } from './contracts.ts'
import type { Core } from './core.ts'
import { refuseSent } from './refusing.ts'
import type { Session } from './session.ts'

type Act = (message: Element) => void | Promise<void>

/** Tells the sender what went wrong with a message. */
type Refuse = (message: Element, error: unknown) => void

interface Waiting {
  /** As it came. */
  readonly message: Element
  /** What is delivered. */
  kept: Element
  readonly act: Act
}

/** Messages in a row that become safe together. */
class Turn {
  readonly safe: Promise<unknown>
  /** All were acted upon. What went wrong with one was told to its sender. */
  readonly done: Promise<void>
  /** More messages may join. */
  open = true
  readonly #session: Session
  readonly #refuse: Refuse
  readonly #messages: Waiting[] = []
  readonly #works: (readonly [work: Promise<unknown>, message: Element])[] = []
  #refused: Set<Element> | undefined
  #whole: Promise<void> | undefined
  #underway: Underway | undefined

  constructor(session: Session, refuse: Refuse, safe: Promise<unknown>, before: Promise<void> | undefined) {
    this.#session = session
    this.#refuse = refuse
    this.safe = safe
    this.done = this.#run(before)
  }

  add(message: Waiting): void {
    this.#messages.push(message)
  }

  /** The message counts as handled when this is done too. */
  await(work: Promise<unknown>, message: Element): void {
    // What it rejects with is looked at later.
    if (this.#works.at(-1)?.[0] !== work) work.catch(() => {})
    this.#works.push([work, message])
  }

  /** All were acted upon, and what else they wait for is done. */
  get whole(): Promise<void> {
    this.#whole ??= this.#finish()
    return this.#whole
  }

  /** One of its messages is on its way. */
  join(octets: number): Underway {
    if (this.#underway === undefined) {
      const session = this.#session
      const handled =
        session.detach === undefined ? this.whole : session.handling(this.whole, () => this.#underway?.elements ?? 0)
      this.#underway = new Underway(handled)
    }
    return this.#underway.with(octets)
  }

  async #run(before: Promise<void> | undefined): Promise<void> {
    let failed: { readonly error: unknown } | undefined
    try {
      await (before === undefined ? this.safe : Promise.all([this.safe, before]))
    } catch (error) {
      failed = { error }
    }
    this.open = false
    const late: Promise<void>[] = []
    for (const { message, kept, act } of this.#messages) {
      try {
        if (failed !== undefined) throw failed.error
        const pending = act(kept)
        if (pending !== undefined) late.push(pending.catch((error: unknown) => this.#failed(message, error)))
      } catch (error) {
        this.#failed(message, error)
      }
    }
    if (late.length > 0) await Promise.all(late)
  }

  async #finish(): Promise<void> {
    await this.done
    for (const [work, message] of this.#works)
      try {
        await work
      } catch (error) {
        this.#failed(message, error)
      }
  }

  #failed(message: Element, error: unknown): void {
    this.#refused ??= new Set()
    if (this.#refused.has(message)) return
    this.#refused.add(message)
    this.#refuse(message, error)
  }
}

const AT_ONCE = Promise.resolve()

/** The messages of one sender that wait to be safe. */
export class Turns {
  /** How many messages have taken their turn so far: who has seen it grow knows that something waits here. */
  taken = 0
  readonly #session: Session
  readonly #refuse: Refuse
  #latest: Turn | undefined

  constructor(session: Session, refuse: Refuse) {
    this.#session = session
    this.#refuse = refuse
  }

  /** The one that was joined last, as long as it waits. */
  get latest(): Turn | undefined {
    return this.#latest?.open === true ? this.#latest : undefined
  }

  /** Acts when the message is safe, and all those before it have been acted upon. */
  add(message: Element, kept: Kept | Promise<Element> | Element, act: Act): Promise<void> {
    this.taken++
    const waiting: Waiting = { message, kept: message, act }
    let safe: Promise<unknown> = AT_ONCE
    if (kept instanceof Promise) safe = kept.then((late) => void (waiting.kept = late))
    else if ('safe' in kept) {
      safe = kept.safe
      waiting.kept = kept.message
    } else waiting.kept = kept
    const turn = this.#turn(safe)
    turn.add(waiting)
    return turn.done
  }

  #turn(safe: Promise<unknown>): Turn {
    const latest = this.latest
    if (latest?.safe === safe) return latest
    const turn = new Turn(this.#session, this.#refuse, safe, latest?.done)
    this.#latest = turn
    return turn
  }
}

/** Acts on a message when it is safe, where it has to be. Not before those that its sender has sent before it. */
export function inTurn(
  core: Core,
  { session }: Origin,
  message: Element,
  kept: Kept | Promise<Element> | Element | undefined,
  act: Act,
): void | Promise<void> {
  if (session === undefined) {
    if (kept instanceof Promise) return kept.then(act)
    if (kept === undefined || !('safe' in kept)) return act(kept ?? message)
    return kept.safe.then(() => act(kept.message))
  }
  const isSafe = kept === undefined || !(kept instanceof Promise || 'safe' in kept)
  if (isSafe && session.turns?.latest === undefined) return act(kept ?? message)
  session.turns ??= new Turns(session, (failed, error) => refuseSent(core.successor, session, failed, error))
  return session.turns.add(message, kept ?? message, act)
}
