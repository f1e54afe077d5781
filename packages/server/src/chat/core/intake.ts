// What comes in, from clients of ours and from other servers: the hooks that it meets, in their order, until the router has it.

import { type Element, NS, Underway } from '@aviso/xmpp'
import type { Entered, Origin } from './contracts.ts'
import type { Core } from './core.ts'
import { checkIq } from './iq.ts'
import { presenceFromSession } from './presence.ts'
import { refuseReceived, refuseSent } from './refusing.ts'
import { address, route } from './router.ts'
import { Sent, stamp } from './sent.ts'
import type { Session } from './session.ts'

/** Takes a stanza from a client, see `Chat.take`. */
export function take(core: Core, session: Session, stanza: Element): void | Promise<void> | Underway {
  const before = session.turns?.taken
  let pending: Promise<void> | undefined
  let prepared = true
  try {
    const preparing = session.prepared()
    prepared = preparing === undefined
    // With what is read for the preparations: one look into the account's database.
    if (!prepared && needsRoster(stanza)) core.loadRoster(session.account).catch(nothing)
    const taken =
      preparing === undefined ? enter(core, session, stanza) : preparing.then(() => enter(core, session, stanza))
    pending = taken ?? undefined
  } catch (error) {
    refuseSent(core, session, stanza, error)
  }
  if (pending === undefined && session.pending === undefined) return session.count()
  const octets = stanza.raw?.length ?? 0
  const turn = session.turns?.latest
  // What has its turn is delivered in order: it holds up nobody.
  if (prepared && turn !== undefined && session.turns?.taken !== before) return turn.join(octets)
  const done = pending?.catch((error: unknown) => refuseSent(core, session, stanza, error)) ?? Promise.resolve()
  const handled = session.detach === undefined ? done : session.handling(done)
  return pending === undefined ? new Underway(handled).with(octets) : handled
}

/** Takes a stanza from another server, see `Chat.receive`. */
export function receive(core: Core, stanza: Element, origin: Origin): void | Promise<void> {
  try {
    if (stanza.name === 'iq') checkIq(stanza)
    const { entering } = core.points
    const answer = entering.empty ? undefined : entering.ask({ stanza, origin, to: address(stanza.get('to') ?? '') })
    return entered(answer, stanza, (accepted) => route(core, origin, accepted))?.catch((error: unknown) =>
      refuseReceived(core, stanza, origin, error),
    )
  } catch (error) {
    refuseReceived(core, stanza, origin, error)
  }
}

/** True for a client's message that may be taken while others of it are underway: it is for somebody who is here. */
export function mayFollow({ store, directory }: Core, message: Element): boolean {
  const type = message.get('type')
  const to = message.get('to')
  if (to === undefined || type === 'groupchat' || type === 'error' || store.crowded) return false
  return directory.session(to) !== undefined || directory.account(to) !== undefined
}

/** Broadcasts the presence of an available session anew, see `Host.announce`. */
export function announce(core: Core, session: Session): void {
  if (session.over || !session.available) return
  const again = async (): Promise<void> => {
    const before = core.presenceOf(session, session.account.bare).with({ to: undefined })
    await presenceFromSession(core, session, dressed(core, before, session))
  }
  again().catch((error: unknown) => core.log.warn({ err: error, session: session.id }, 'presence was not said anew'))
}

function enter(core: Core, session: Session, stanza: Element): void | Promise<void> {
  if (stanza.name === 'iq') checkIq(stanza)
  core.directory.traffic.in.count(stanza.name)
  const stamped = stamp(stanza, session)
  const { entering } = core.points
  if (entering.empty) return accept(core, session, stamped)
  const answer = entering.ask(new Sent(stamped, session, core.directory))
  return entered(answer, stamped, (accepted) => accept(core, session, accepted))
}

/** Goes on with what those who were asked first have made of a stanza. */
function entered(
  answer: Entered | Promise<Entered> | undefined,
  stanza: Element,
  goOn: (stanza: Element) => void | Promise<void>,
): void | Promise<void> {
  if (answer === undefined) return goOn(stanza)
  if (answer === 'handled') return undefined
  return answer instanceof Promise ? answer.then((late) => entered(late, stanza, goOn)) : goOn(answer)
}

function accept(core: Core, session: Session, accepted: Element): void | Promise<void> {
  const stamped = dressed(core, accepted, session)
  if (stamped.name === 'presence') {
    // Hooks see directed presence; subscriptions once they are addressed in the account's name.
    if (stamped.get('to') === undefined || isAboutAccount(stamped)) return presenceFromSession(core, session, stamped)
  }
  const { sending } = core.points
  if (sending.empty) return send(core, session, stamped)
  const event = new Sent(stamped, session, core.directory)
  const answer = sending.ask(event)
  const { work } = event
  if (work === undefined)
    return answer === undefined ? send(core, session, stamped) : answer === 'handled' ? undefined : answer
  let sent: void | Promise<void>
  try {
    sent = answer === undefined ? send(core, session, stamped) : answer === 'handled' ? undefined : answer
  } catch (error) {
    // What went wrong first is what the sender is told.
    sent = Promise.reject(error)
  }
  const turn = session.turns?.latest
  if (turn === undefined || turn.done !== sent) return Promise.all([sent, work]).then(nothing)
  turn.await(work, stamped)
  return turn.whole
}

/** An available presence as features want it to be. */
function dressed({ points, directory }: Core, stamped: Element, session: Session): Element {
  if (points.dressing.empty || stamped.name !== 'presence' || stamped.get('type') !== undefined) return stamped
  return points.dressing.ask(new Sent(stamped, session, directory)) ?? stamped
}

const send = (core: Core, session: Session, stamped: Element): void | Promise<void> =>
  stamped.name === 'presence' ? presenceFromSession(core, session, stamped) : route(core, session, stamped)

const nothing = (): void => {}

const needsRoster = (stanza: Element): boolean =>
  stanza.name === 'presence' ? stanza.get('to') === undefined : stanza.firstElement?.is('query', NS.roster) === true

const isAboutAccount = (presence: Element): boolean => {
  const type = presence.get('type')
  return type !== undefined && type !== 'unavailable' && type !== 'error' && type !== 'probe'
}
