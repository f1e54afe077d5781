// XEP-0352: Client State Indication

import { type Element, el, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { type Session, sessionSlot, type Wire } from '../core/session.ts'
import { importance } from './importance.ts'

const held = sessionSlot<Held>('csi')

export const csi = chatFeature({
  name: 'csi',
  summary: 'Holds back what can wait while the user of a client is not looking, so that a phone may sleep.',
  config: v.strictObject({
    queue: v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('how many stanzas are held back for one client')),
      256,
    ),
    'queue-octets': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1024), v.description('the same in characters')),
      131_072,
    ),
    'important-payloads': v.optional(
      v.pipe(
        v.array(v.string()),
        v.description('namespaces of message payloads that are sent at once, besides those known to be important'),
      ),
      [],
    ),
  }),

  attach(host, config, { metrics }) {
    const important: ReadonlySet<string> = new Set(config['important-payloads'])
    const flushes = metrics.counter('aviso_chat_csi_flushes', 'What woke an inactive client, by reason', ['reason'])
    const coalesced = metrics.counter('aviso_chat_csi_coalesced', 'Stanzas that were replaced by later ones unsent')
    const heldBack = metrics.tally('aviso_chat_csi_held', 'Stanzas that were held back for an inactive client')
    const limits = { stanzas: config.queue, characters: config['queue-octets'] }

    host.streamFeature(({ authenticated }) => (authenticated ? el('csi', { xmlns: NS.csi }) : undefined))

    const deactivate = (session: Session): void => {
      if (session.gate !== undefined) return
      const queue = new Held({ send: (stanza) => session.wire.send(stanza) }, limits)
      session.set(held, queue)
      session.gate = (stanza) => {
        const { reason, key } = importance(stanza, important)
        if (reason === undefined) {
          heldBack.add()
          if (queue.hold(stanza, key)) coalesced.inc()
          if (queue.full) wake(queue, 'full')
          return true
        }
        if (!queue.empty) wake(queue, reason)
        return session.wire.send(stanza)
      }
    }
    host.nonza(NS.csi, 'inactive', deactivate)
    const wake = (queue: Held, reason: string): void => {
      flushes.inc({ reason })
      queue.flush()
    }
    const activate = (session: Session): void => {
      session.gate = undefined
      const queue = session.get(held)
      if (queue !== undefined && !queue.empty) wake(queue, 'active')
    }
    host.nonza(NS.csi, 'active', activate)
    host.inline.bound(NS.csi, NS.csi, 'inactive', (session) => {
      deactivate(session)
      return undefined
    })
    // As every session begins.
    host.inline.bound(NS.csi, NS.csi, 'active', () => undefined)
    // Who is away gets it all when it comes back, and who comes back is looking, until it says otherwise.
    host.hooks.away.on(activate)
    host.hooks.resumed.on(activate)
    // Who speaks is awake: what waits costs nothing more. It stays inactive.
    host.hooks.sending.on(({ origin }) => {
      if (origin.session?.gate === undefined) return undefined
      const queue = origin.session.get(held)
      if (queue !== undefined && !queue.empty) wake(queue, 'speaks')
      return undefined
    }, 200)
  },
})

/** What is held back for one client, oldest first. */
export class Held {
  readonly #wire: Pick<Wire, 'send'>
  readonly #limits: { readonly stanzas: number; readonly characters: number }
  readonly #stanzas = new Map<string | number, string>()
  #characters = 0
  #count = 0

  constructor(wire: Pick<Wire, 'send'>, limits: { readonly stanzas: number; readonly characters: number }) {
    this.#wire = wire
    this.#limits = limits
  }

  get empty(): boolean {
    return this.#stanzas.size === 0
  }

  get full(): boolean {
    return this.#stanzas.size >= this.#limits.stanzas || this.#characters >= this.#limits.characters
  }

  /** Holds a stanza back; one with a `key` takes the place of the one before with the same. True where there was one. */
  hold(stanza: Element | string, key: string | undefined): boolean {
    // Cut loose from the octets that it came in: it may stay for hours.
    const text = Buffer.from(typeof stanza === 'string' ? stanza : stanza.toString(NS.client)).toString()
    const place = key ?? this.#count++
    const before = this.#stanzas.get(place)
    if (before !== undefined) {
      this.#stanzas.delete(place)
      this.#characters -= before.length
    }
    this.#stanzas.set(place, text)
    this.#characters += text.length
    return before !== undefined
  }

  flush(): void {
    const waiting = [...this.#stanzas.values()]
    this.#stanzas.clear()
    this.#characters = 0
    for (const stanza of waiting) this.#wire.send(stanza)
  }
}
