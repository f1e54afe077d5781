// RFC 6121 §8.5: where messages go. Table 1 of §8.5.4 in code.

import { type Element, type Jid, StanzaError } from '@aviso/xmpp'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import type { Session } from './session.ts'

/** To a resource that is there: it gets whatever it is sent (§8.5.3.1). */
export function messageToSession(core: Core, origin: Origin, message: Element, session: Session): void | Promise<void> {
  const { receiving, delivered } = core.points
  if (!receiving.empty) {
    const answer = receiving.ask({
      stanza: message,
      origin,
      to: session.jid,
      account: session.account.account,
      session,
    })
    if (answer !== undefined) return answer === 'handled' ? undefined : answer
  }
  if (!session.send(message)) return messageUnmatched(core, origin, message, session.jid, undefined)
  if (!delivered.empty) delivered.tell({ stanza: message, origin, to: session.jid, sessions: [session] })
}

/** To a resource that is not there (§8.5.3.2.1), or to no account at all (§8.5.1): the sender cannot tell which. */
export function messageUnmatched(
  core: Core,
  origin: Origin,
  message: Element,
  to: Jid,
  online: OnlineAccount | undefined,
): void | Promise<void> {
  switch (message.get('type')) {
    case 'chat':
      return messageToAccount(core, origin, message, to, online)
    case 'headline':
    case 'error':
      return undefined
    default:
      throw StanzaError.of('service-unavailable')
  }
}

/** To an account as a whole (§8.5.2). */
export function messageToAccount(
  core: Core,
  origin: Origin,
  message: Element,
  to: Jid,
  online: OnlineAccount | undefined,
): void | Promise<void> {
  const type = message.get('type')
  if (type === 'error') return undefined
  if (type === 'groupchat') throw StanzaError.of('service-unavailable')
  if (online === undefined) {
    if (type === 'headline') return undefined
    return messageToAbsent(core, origin, message, to)
  }
  const answer = core.received({ stanza: message, origin, to, account: online.account })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer

  const wanted = type === 'headline' ? online.sessions.filter((session) => session.listening) : online.foremost
  const reached = wanted.filter((session) => session.send(message))
  if (reached.length > 0) {
    const { delivered } = core.points
    if (!delivered.empty) delivered.tell({ stanza: message, origin, to, sessions: reached })
    return undefined
  }
  if (type === 'headline') return undefined
  const taken = core.points.undelivered.ask({ stanza: message, origin, to, account: online.account })
  if (taken === undefined) throw StanzaError.of('service-unavailable')
  return taken === 'handled' ? undefined : taken
}

/** To an account that has no session, or to none. */
async function messageToAbsent(core: Core, origin: Origin, message: Element, to: Jid): Promise<void> {
  const account = await core.accounts.byAddress(to.bareString)
  if (account === undefined) throw StanzaError.of('service-unavailable')
  // Somebody may have logged in meanwhile.
  const online = core.directory.account(to.bareString)
  if (online !== undefined) return messageToAccount(core, origin, message, to, online)
  const event = { stanza: message, origin, to, account }
  const answer = core.received(event) ?? core.points.undelivered.ask(event)
  if (answer === undefined) throw StanzaError.of('service-unavailable')
  if (answer !== 'handled') await answer
}
