// RFC 6120 §10: where a stanza goes, by its address.

import { type Element, Jid, JidError, StanzaError } from '@aviso/xmpp'
import type { Neighbour, Origin, StanzaEvent } from './contracts.ts'
import type { Core } from './core.ts'
import { iqToAccount, iqToHost, iqToSession, iqUnmatched } from './iq.ts'
import { messageToAccount, messageToSession, messageUnmatched } from './messages.ts'
import { isSilent, presenceToAccount, presenceToHost, presenceToSession, presenceUnmatched } from './presence.ts'

/** Reads an address of a stanza. @throws StanzaError jid-malformed */
export function address(text: string): Jid {
  try {
    return Jid.parse(text)
  } catch (error) {
    if (error instanceof JidError) throw StanzaError.of('jid-malformed', error.message)
    throw error
  }
}

/**
 * Sends a stanza to where its `to` says; `from` is stamped. A throw or rejection is what the sender is to be told.
 * The common case, a client of ours that is online, costs one look-up and no promise.
 */
export function route(core: Core, origin: Origin, stanza: Element): void | Promise<void> {
  const to = stanza.get('to')
  if (to === undefined) return routeTo(core, origin, stanza, origin.jid.bare)
  const session = core.directory.session(to)
  if (session !== undefined && !isForAccount(stanza)) {
    if (stanza.name === 'message') return messageToSession(core, origin, stanza, session)
    if (stanza.name === 'iq') return iqToSession(core, origin, stanza, session)
    return presenceToSession(core, origin, stanza, session)
  }
  const online = core.directory.account(to)
  if (online !== undefined) return routeTo(core, origin, stanza, online.jid)
  const jid = address(to)
  const prepared = jid.toString()
  return routeTo(core, origin, prepared === to ? stanza : stanza.with({ to: prepared }), jid)
}

function routeTo(core: Core, origin: Origin, stanza: Element, to: Jid): void | Promise<void> {
  if (!core.isLocal(to.domain)) return routeElsewhere(core, origin, stanza, to)
  const { name } = stanza
  if (to.local === '') {
    if (name === 'iq') return iqToHost(core, origin, stanza, to)
    if (name === 'presence') return presenceToHost(core, origin, stanza, to)
    return messageToHost(stanza)
  }
  const neighbour = core.neighbours.get(to.domain)
  if (neighbour !== undefined && core.directory.account(to.bareString) === undefined)
    return routeBeside(core, neighbour, { stanza, origin, to })
  return routeToAccount(core, origin, stanza, to)
}

/** For an address that an account has, or a service beside the accounts, or nobody. */
async function routeBeside(core: Core, neighbour: Neighbour, event: StanzaEvent): Promise<void> {
  const { stanza, origin, to } = event
  const account = await core.accounts.byAddress(to.bareString)
  if (account === undefined && (await neighbour.has(event))) return neighbour.service(event)
  return routeToAccount(core, origin, stanza, to)
}

function routeToAccount(core: Core, origin: Origin, stanza: Element, to: Jid): void | Promise<void> {
  const { name } = stanza
  if (to.isFull && !isForAccount(stanza)) {
    const session = core.directory.session(to.toString())
    if (session !== undefined) {
      if (name === 'message') return messageToSession(core, origin, stanza, session)
      if (name === 'iq') return iqToSession(core, origin, stanza, session)
      return presenceToSession(core, origin, stanza, session)
    }
    if (name === 'message') return messageUnmatched(core, origin, stanza, to, core.directory.account(to.bareString))
    if (name === 'iq') return iqUnmatched(stanza)
    return presenceUnmatched(stanza)
  }
  const online = core.directory.account(to.bareString)
  if (name === 'message') return messageToAccount(core, origin, stanza, to, online)
  if (name === 'iq') return iqToAccount(core, origin, stanza, to, online)
  return presenceToAccount(core, origin, stanza, to, online)
}

/** Subscriptions and probes concern the account, whatever resource they name (RFC 6121 §3.1.2, §4.3.2). */
function isForAccount(stanza: Element): boolean {
  if (stanza.name !== 'presence') return false
  const type = stanza.get('type')
  return type !== undefined && type !== 'unavailable' && type !== 'error'
}

/** Nobody reads messages to a domain. */
function messageToHost(message: Element): void {
  if (message.get('type') !== 'error' && message.get('type') !== 'headline') throw StanzaError.of('service-unavailable')
}

/** To a domain that has no accounts: a service of ours, or another server. */
export function routeElsewhere(core: Core, origin: Origin, stanza: Element, to: Jid): void | Promise<void> {
  const service = core.services.get(to.domain)
  if (service !== undefined) return service({ stanza, origin, to })
  const account = origin.session?.account.account
  if (account !== undefined && !core.accounts.may(account, 'chat-elsewhere')) {
    if (isSilent(stanza)) return undefined
    throw StanzaError.of('not-allowed', 'you may not write to people of other servers')
  }
  const answer = core.points.remote.ask({ stanza, origin, to })
  if (answer !== undefined) return answer === 'handled' ? undefined : answer
  if (isSilent(stanza)) return undefined
  throw StanzaError.of('remote-server-not-found', `${to.domain} cannot be reached from here`)
}
