// XEP-0160: Best Practices for Handling Offline Messages, stamped with XEP-0203: Delayed Delivery

import { el, type Element, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { StoreError } from '../../store/contracts.ts'
import { readsArchive } from '../archive/archive.ts'
import { archivedAs, isArchivedText } from '../archive/stanza-ids.ts'
import { chatFeature, type AccountEvent, type Host } from '../core/contracts.ts'
import type { Session } from '../core/session.ts'
import { offlineStore } from './offline.store.ts'

const HINTS = 'urn:xmpp:hints'
const CHAT_STATES = 'http://jabber.org/protocol/chatstates'
/** Read, written and forgotten together: what a `kill -9` may make a duplicate of. */
const PAGE = 20

export const offline = chatFeature({
  name: 'offline',
  summary: 'Keeps messages for accounts that are not online, and delivers them at the next login.',
  config: v.strictObject({
    'max-messages': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(0),
        v.description('how many messages may wait for one account; senders of more are told so'),
      ),
      1000,
    ),
  }),

  attach(host, config, { clock, log, metrics }) {
    const counted = metrics.counter('aviso_chat_offline', 'Messages for accounts that are not online, by outcome', [
      'outcome',
    ])
    host.disco.feature('msgoffline')
    const deliveries = new Deliveries(host, (count) => counted.inc({ outcome: 'delivered' }, count))

    host.hooks.undelivered.on((event) => {
      if (!isWorthKeeping(event.stanza)) return 'handled'
      return keep(event)
    }, -10)

    const keep = async ({ account, stanza }: AccountEvent): Promise<void> => {
      try {
        await host.store.account(offlineStore, account.id).append({
          xml: stanza.toString(NS.client),
          at: clock.now(),
          limit: config['max-messages'],
        })
      } catch (error) {
        if (error instanceof StoreError && error.code === 'full') {
          counted.inc({ outcome: 'full' })
          // What is in the archive is not lost.
          if (archivedAs(stanza, account.address) !== undefined) return
          throw StanzaError.of('service-unavailable')
        }
        throw error
      }
      counted.inc({ outcome: 'stored' })
      // Who logged in while the message was being written has not been given it.
      const listener = host.sessions(account.address).find((session) => session.listening)
      if (listener !== undefined) start(listener)
    }

    const start = (session: Session): void => {
      deliveries.start(session).catch((error: unknown) => {
        log.error(
          { err: error, session: session.id, account: session.account.bare },
          'offline messages were not delivered',
        )
      })
    }

    host.hooks.available.on(({ session, listening }) => {
      if (listening) start(session)
    })
    // What came when the server stopped.
    host.hooks.resumed.on((session) => {
      if (session.woken && session.listening) start(session)
    })
  },
})

/** One delivery at a time for each account: a second client that comes online meanwhile must not get the same messages. */
class Deliveries {
  readonly #host: Host
  readonly #delivered: (count: number) => void
  /** By account id; true where more may have come in the meantime. */
  readonly #running = new Map<string, boolean>()

  constructor(host: Host, delivered: (count: number) => void) {
    this.#host = host
    this.#delivered = delivered
  }

  async start(session: Session): Promise<void> {
    const { id } = session.account.account
    if (this.#running.has(id)) {
      this.#running.set(id, true)
      return
    }
    try {
      do {
        this.#running.set(id, false)
        const listener = session.listening ? session : session.account.sessions.find((other) => other.listening)
        if (listener !== undefined) await this.#deliver(listener)
      } while (this.#running.get(id) === true)
    } finally {
      this.#running.delete(id)
    }
  }

  async #deliver(session: Session): Promise<void> {
    const store = this.#host.store.account(offlineStore, session.account.account.id)
    const from = session.account.account.domain
    // Who reads the archive finds there what is in it; a stream that goes on after a restart does not make its client look.
    const reads = session.get(readsArchive) === true && !session.woken
    let last = 0
    for (;;) {
      const page = await store.page({ after: last, limit: PAGE })
      const end = page.at(-1)
      if (end === undefined) return
      const missed = reads ? page.filter(({ xml }) => !isArchivedText(xml, session.account.bare)) : page
      const texts = missed.map(({ xml, at }) => delayed(xml, from, at))
      // Forgotten only when they have left: a message that comes twice is better than one that never comes.
      if (!(await session.sendAll(texts, () => session.listening))) return
      this.#delivered(texts.length)
      last = end.id
      await store.delivered({ id: last })
    }
  }
}

/** The stored text with its stamp; the message's end tag is the last thing in it. */
function delayed(xml: string, from: string, at: number): string {
  const delay = el('delay', { xmlns: NS.delay, from, stamp: new Date(at).toISOString() }).toString()
  const end = xml.lastIndexOf('</message>')
  return end < 0 ? xml : xml.slice(0, end) + delay + xml.slice(end)
}

/**
 * XEP-0160 §3 and RFC 6121 §8.5.2.1.1: chat and normal messages that say something. XEP-0334 hints have the last word.
 * What only tells a mood of the moment (XEP-0085) is let go without a word.
 */
function isWorthKeeping(message: Element): boolean {
  let worthy = false
  for (const child of message.elements) {
    if (child.xmlns === HINTS) {
      if (child.name === 'no-store') return false
      if (child.name === 'store') worthy = true
    } else if (child.xmlns !== CHAT_STATES && KEPT.has(`${child.name} ${child.xmlns}`)) worthy = true
  }
  return worthy
}

/** Text, encrypted text, invitations and receipts. */
const KEPT = new Set([
  `body ${NS.client}`,
  `subject ${NS.client}`,
  'encryption urn:xmpp:eme:0',
  'encrypted eu.siacs.conversations.axolotl',
  'encrypted urn:xmpp:omemo:2',
  'openpgp urn:xmpp:openpgp:0',
  'x jabber:x:conference',
  'x http://jabber.org/protocol/muc#user',
  'received urn:xmpp:receipts',
])
