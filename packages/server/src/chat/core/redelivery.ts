// XEP-0198 §4, RFC 6121 §8.5.3.2: what was sent to a session and did not arrive

import { DEFAULT_PARSER_LIMITS, el, type Element, errorReply, Jid, NS, readElement, StanzaError } from '@aviso/xmpp'
import { archivedAs } from '../archive/stanza-ids.ts'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import { deliverToAccount } from './messages.ts'
import { route } from './router.ts'
import { asStanzaError } from './subscribing.ts'

/** A stanza as it was sent, and when (milliseconds since the epoch). */
export interface SentStanza {
  readonly text: string
  readonly at: number
}

/**
 * Gives messages to the account's other sessions or to those who keep them, and tells who asked something that there is no answer. All of them are under way when it returns, so that what is
 * sent to the account from then on comes behind them.
 */
export async function redeliver(core: Core, account: OnlineAccount, stanzas: Iterable<SentStanza>): Promise<void> {
  const one = async ({ text, at }: SentStanza): Promise<void> => {
    if (text.startsWith('<presence')) return
    const stanza = readElement(text, { xmlns: NS.client, bindings: [] }, { ...DEFAULT_PARSER_LIMITS, depth: 200 })
    const from = Jid.tryParse(stanza.get('from') ?? '')
    if (from === undefined) return
    try {
      await again(core, account, stanza, from, at)
    } catch (error) {
      const known = asStanzaError(error)
      if (!(known instanceof StanzaError)) throw error
      const reply = errorReply(stanza, known)
      if (reply === undefined) return
      const back: Origin = { jid: Jid.parse(stanza.get('to') ?? account.bare), reply: () => {} }
      try {
        await route(core, back, reply)
      } catch (failure) {
        core.log.debug({ err: failure }, 'the sender could not be told')
      }
    }
  }
  await Promise.all(Array.from(stanzas, one))
}

async function again(core: Core, account: OnlineAccount, stanza: Element, from: Jid, at: number): Promise<void> {
  const type = stanza.get('type')
  if (stanza.name === 'iq') {
    if (type === 'get' || type === 'set') throw StanzaError.of('service-unavailable')
    return
  }
  if (stanza.name !== 'message' || type === 'error' || type === 'groupchat' || type === 'headline') return
  // Copies of messages are others' to deliver.
  if (stanza.elements.some(({ xmlns }) => xmlns === NS.carbons || xmlns === NS.mam)) return
  const online = core.directory.account(account.bare)
  // Who is here has a copy, or finds it in the archive.
  if (archivedAs(stanza, account.bare) !== undefined && online?.sessions.some((session) => session.listening)) return
  const stamp = new Date(at).toISOString()
  const delayed =
    stanza.child('delay', NS.delay) === undefined
      ? stanza.append(el('delay', { xmlns: NS.delay, from: account.account.domain, stamp }))
      : stanza
  await deliverToAccount(core, { jid: from, reply: () => {} }, delayed, account.jid, account.account)
}
