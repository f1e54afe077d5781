// RFC 6121 §8.5: where messages go. Table 1 of §8.5.4 in code.

import { type Element, type Jid, StanzaError } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import type { Session } from './session.ts'
import { inTurn } from './turns.ts'

/** To a resource that is there: it gets whatever it is sent (§8.5.3.1). */
export function messageToSession(core: Core, origin: Origin, message: Element, session: Session): void | Promise<void> {
  const { receiving, keeping } = core.points
  if (receiving.empty && keeping.empty)
    return inTurn(core, origin, message, undefined, (stanza) => deliver(core, origin, stanza, session))
  const event = { stanza: message, origin, to: session.jid, account: session.account.account, session }
  const answer = receiving.ask(event)
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  return inTurn(core, origin, message, keeping.ask(event), (stanza) => deliver(core, origin, stanza, session))
}

function deliver(core: Core, origin: Origin, message: Element, session: Session): void | Promise<void> {
  if (!session.send(message)) return unmatched(core, origin, message, session.jid, session.account.account)
  const { delivered } = core.points
  if (!delivered.empty) delivered.tell({ stanza: message, origin, to: session.jid, sessions: [session] })
}

/** To a resource that is not there any more, after the account has taken the message. */
function unmatched(core: Core, origin: Origin, message: Element, to: Jid, account: Account): void | Promise<void> {
  const type = message.get('type')
  if (type === 'chat') return deliverToAccount(core, origin, message, to, account)
  if (type !== 'headline' && type !== 'error') throw StanzaError.of('service-unavailable')
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
  if (online !== undefined) return takeForAccount(core, origin, message, to, online.account)
  if (type === 'headline') return undefined
  return messageToAbsent(core, origin, message, to)
}

/** To an account that has no session, or to none. */
async function messageToAbsent(core: Core, origin: Origin, message: Element, to: Jid): Promise<void> {
  const account = await core.accounts.byAddress(to.bareString)
  if (account === undefined) throw StanzaError.of('service-unavailable')
  await takeForAccount(core, origin, message, to, account)
}

function takeForAccount(core: Core, origin: Origin, message: Element, to: Jid, account: Account): void | Promise<void> {
  const { keeping } = core.points
  const event = { stanza: message, origin, to, account }
  const answer = core.received(event)
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  return inTurn(core, origin, message, keeping.ask(event), (stanza) =>
    deliverToAccount(core, origin, stanza, to, account),
  )
}

/** Gives a message that the account has taken to its sessions; who is there is looked up at the last moment. */
export function deliverToAccount(
  core: Core,
  origin: Origin,
  message: Element,
  to: Jid,
  account: Account,
): void | Promise<void> {
  const online = core.directory.account(to.bareString)
  const headline = message.get('type') === 'headline'
  if (online !== undefined) {
    const wanted = headline ? online.sessions.filter((session) => session.listening) : online.foremost
    const reached = wanted.filter((session) => session.send(message))
    if (reached.length > 0) {
      const { delivered } = core.points
      if (!delivered.empty) delivered.tell({ stanza: message, origin, to, sessions: reached })
      return undefined
    }
  }
  if (headline) return undefined
  const taken = core.points.undelivered.ask({ stanza: message, origin, to, account })
  if (taken === undefined) throw StanzaError.of('service-unavailable')
  return taken === 'handled' ? undefined : taken
}
