// RFC 6120 §8.3: what senders are told of a stanza that was not delivered or answered.

import { type Element, errorReply, StanzaError, StreamError } from '@aviso/xmpp'
import type { Origin } from './contracts.ts'
import type { Core } from './core.ts'
import type { Session } from './session.ts'
import { asStanzaError } from './subscribing.ts'

/** Tells the origin of a stanza. */
export function refuse(core: Core, stanza: Element, origin: Origin, error: StanzaError): void {
  const reply = errorReply(stanza, error)
  if (reply === undefined) return
  core.countRefusal(error.condition)
  origin.reply(reply)
  const { session } = origin
  if (session !== undefined && !core.points.refused.empty) core.points.refused.tell({ session, stanza, reply })
}

/** Tells another server's user what went wrong with a stanza. */
export function refuseReceived(core: Core, stanza: Element, origin: Origin, error: unknown): void {
  const known = asStanzaError(error)
  if (!(known instanceof StanzaError))
    core.log.error({ err: error, from: origin.jid.toString() }, `a ${stanza.name} could not be handled`)
  refuse(core, stanza, origin, known instanceof StanzaError ? known : StanzaError.of('internal-server-error'))
}

/** Tells a client of ours what went wrong with its stanza, which may have no `from` yet. @throws StreamError where that is what went wrong: it ends the stream */
export function refuseSent(core: Core, session: Session, stanza: Element, error: unknown): void {
  if (error instanceof StreamError) throw error
  const known = asStanzaError(error)
  if (!(known instanceof StanzaError))
    core.log.error(
      { err: error, session: session.id, account: session.account.bare },
      `a ${stanza.name} could not be handled`,
    )
  const refusal = known instanceof StanzaError ? known : StanzaError.of('internal-server-error')
  const reply = errorReply(stanza.with({ from: session.full }), refusal)
  if (reply === undefined) return
  core.countRefusal(refusal.condition)
  session.send(reply)
  if (!core.points.refused.empty) core.points.refused.tell({ session, stanza, reply })
}
