// RFC 6120 §7: how a session begins, with a resource of its own, and how it ends.

import { Jid, JidError, StanzaError, StreamError } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { randomWord } from '../../kernel/random.ts'
import type { BindingClient } from './contracts.ts'
import type { Core } from './core.ts'
import { becomeUnavailable, goodbye } from './presence.ts'
import { Session } from './session.ts'

/** @throws JidError: not every mail address is a JID (`o'brien@`) */
export const accountJid = ({ local, domain }: Account): Jid => Jid.of(local, domain)

/** Binds a resource, see `Chat.bind`. */
export function bind(
  core: Core,
  account: Account,
  resource: string | undefined,
  { id, wire, lang, userAgent }: BindingClient,
): Session {
  const { directory } = core
  let bare: Jid
  let jid: Jid
  try {
    bare = accountJid(account)
    jid = bare.withResource(resource ?? randomWord(core.random, 12))
  } catch (error) {
    if (error instanceof JidError) throw StanzaError.of('bad-request', error.message)
    throw error
  }
  // XEP-0386 §3.2: an installation is there once.
  if (userAgent?.id !== undefined) {
    for (const earlier of directory.account(bare.toString())?.sessions ?? [])
      if (earlier.userAgent?.id === userAgent.id) replace(core, earlier, 'the same client has logged in anew')
  }
  const policy = core.limits(account.domain)['resource-conflict']
  const other = directory.session(jid.toString())
  // Who has lost his connection comes back: his old session is in nobody's way.
  const inUse = other?.away === false
  if (inUse && policy === 'refuse-newer') throw StanzaError.of('conflict', 'another client has this resource')
  if (inUse && policy === 'another-resource') jid = bare.withResource(randomWord(core.random, 12))
  else if (other !== undefined) replace(core, other, 'another client has bound this resource')
  const online = directory.online(account, bare)
  if (online.sessions.length >= core.limits(account.domain)['sessions-per-account'])
    throw StanzaError.of('resource-constraint', 'this account has too many clients connected')
  const session = new Session(id, jid, online, wire, lang, userAgent)
  directory.add(session)
  core.accounts.guests.settle(account)
  core.points.bound.tell(session)
  return session
}

function replace(core: Core, session: Session, why: string): void {
  session.wire.close(new StreamError('conflict', why))
  end(core, session)
}

/** The session is over, see `Chat.end`. */
export function end(core: Core, session: Session): void {
  if (session.over) return
  session.over = true
  const { directory, successor } = core
  try {
    becomeUnavailable(successor, session, goodbye(session))
  } catch (error) {
    core.log.error({ err: error, session: session.id, account: session.account.bare }, 'the goodbye failed')
  }
  directory.remove(session)
  successor.points.closed.tell(session)
  if (directory.account(session.account.bare) === undefined) core.accounts.guests.leave(session.account.account)
}
