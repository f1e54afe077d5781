// Sessions that outlive the server: how one is written down, and made again from that

import { StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { accountJid } from './binding.ts'
import type { Core } from './core.ts'
import { Session, type Wire } from './session.ts'

/** A session as JSON. */
export const suspendedSession = v.object({
  /** As in the log. */
  id: v.string(),
  resource: v.string(),
  lang: v.optional(v.string()),
  userAgent: v.optional(
    v.object({
      id: v.exactOptional(v.string()),
      software: v.exactOptional(v.string()),
      device: v.exactOptional(v.string()),
    }),
  ),
  presence: v.optional(v.string()),
  priority: v.number(),
  interested: v.boolean(),
  directed: v.array(v.string()),
  handled: v.number(),
  slots: v.array(v.tuple([v.string(), v.unknown()])),
})
export type SuspendedSession = v.InferOutput<typeof suspendedSession>

/** Ends the session here without a word to anybody, and answers what it goes on from. */
export function suspend(core: Core, session: Session): SuspendedSession {
  session.over = true
  core.directory.remove(session)
  const { id, jid, lang, userAgent, presence, priority, interested, directed, handled, lasting } = session
  return {
    id,
    resource: jid.resource,
    lang,
    userAgent,
    presence,
    priority,
    interested,
    directed: [...(directed ?? [])],
    handled,
    slots: lasting.map(([name, value]) => [name, value]),
  }
}

/**
 * Makes the session again, for a client that is away; nobody is told. Where its presence cannot be restored (the roster cannot be read) it is not available.
 * @throws StanzaError conflict where its resource is in use
 */
export async function wake(core: Core, account: Account, suspended: SuspendedSession): Promise<Session> {
  const { id, resource, lang, userAgent, presence } = suspended
  const bare = accountJid(account)
  const jid = bare.withResource(resource)
  if (core.directory.session(jid.toString()) !== undefined) throw StanzaError.of('conflict')
  const session = new Session(id, jid, core.directory.online(account, bare), NOWHERE, lang, userAgent)
  session.away = true
  session.woken = true
  session.interested = suspended.interested
  session.handled = suspended.handled
  session.lasting = suspended.slots
  if (suspended.directed.length > 0) session.directed = new Set(suspended.directed)
  core.directory.add(session)
  core.points.bound.tell(session)
  if (presence === undefined) return session
  try {
    // Both are there while a session is available.
    await core.loadRoster(session.account)
    await session.prepared()
  } catch (error) {
    core.log.error({ err: error, account: account.address }, 'a session goes on without its presence')
    return session
  }
  session.presence = presence
  session.priority = suspended.priority
  session.account.rank()
  return session
}

const NOWHERE: Wire = { send: () => false, drained: () => Promise.resolve(), close: () => {} }
