// RFC 6120 §10.1: the messages of one sender arrive in their order, also where some of them have to be safe first and others need not.

import type { Element } from '@aviso/xmpp'
import type { Origin } from './contracts.ts'

type Act = (message: Element) => void | Promise<void>

interface Turn {
  readonly act: Act
  readonly resolve: (done: void | Promise<void>) => void
  readonly reject: (error: unknown) => void
  /** As it was kept; undefined as long as it is not safe. */
  message?: Element
  failed?: { readonly error: unknown }
}

/** The messages of one sender that wait to be safe. */
export class Turns {
  readonly #waiting: Turn[] = []
  /** How many have taken their turn so far: who has seen it grow knows that something waits here. */
  taken = 0

  get empty(): boolean {
    return this.#waiting.length === 0
  }

  /** Acts when the message is safe, and all those before it have been acted upon. */
  add(kept: Promise<Element>, act: Act): Promise<void> {
    this.taken++
    return new Promise((resolve, reject) => {
      const turn: Turn = { act, resolve, reject }
      this.#waiting.push(turn)
      kept.then(
        (message) => {
          turn.message = message
          this.#go()
        },
        (error: unknown) => {
          turn.failed = { error }
          this.#go()
        },
      )
    })
  }

  #go(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const { message, failed, act } = next
      if (failed !== undefined) next.reject(failed.error)
      else if (message === undefined) return
      else
        try {
          next.resolve(act(message))
        } catch (error) {
          next.reject(error)
        }
      this.#waiting.shift()
    }
  }
}

/** Acts on a message when it is safe: `kept` tells, undefined where it need not be. Not before those that its sender has sent before it. */
export function inTurn(
  { session }: Origin,
  kept: Promise<Element> | Element | undefined,
  message: Element,
  act: Act,
): void | Promise<void> {
  const turns = session?.turns
  if (kept instanceof Promise) {
    if (session === undefined) return kept.then(act)
    return (session.turns ??= new Turns()).add(kept, act)
  }
  if (turns === undefined || turns.empty) return act(kept ?? message)
  return turns.add(Promise.resolve(kept ?? message), act)
}
