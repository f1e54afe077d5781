// The places of the host where features have their say, as the core asks and tells there.

import type { Element } from '@aviso/xmpp'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type {
  AccountEvent,
  DeliveredEvent,
  Entered,
  Handled,
  Kept,
  Hooks,
  PresenceEvent,
  RefusedEvent,
  SendingEvent,
  ShownEvent,
  StanzaEvent,
  UnavailableEvent,
} from './contracts.ts'
import type { Domains } from './domains.ts'
import { type AnswerHook, AnswerPoint, type TellHook, TellPoint } from './hooks.ts'
import type { Session } from './session.ts'

/** The side of the core of `Hooks`. */
export interface Points {
  readonly entering: AnswerPoint<StanzaEvent, Entered | Promise<Entered>>
  readonly sending: AnswerPoint<SendingEvent, Handled>
  readonly dressing: AnswerPoint<StanzaEvent, Element>
  readonly receiving: AnswerPoint<AccountEvent, Handled>
  readonly keeping: AnswerPoint<AccountEvent, Element | Kept | Promise<Element>>
  readonly undelivered: AnswerPoint<AccountEvent, Handled>
  readonly delivered: TellPoint<DeliveredEvent>
  readonly refused: TellPoint<RefusedEvent>
  readonly remote: AnswerPoint<StanzaEvent, Handled>
  readonly mentioned: TellPoint<AccountEvent>
  readonly bound: TellPoint<Session>
  readonly available: TellPoint<PresenceEvent>
  readonly shown: TellPoint<ShownEvent>
  readonly unavailable: TellPoint<UnavailableEvent>
  readonly answered: TellPoint<StanzaEvent>
  readonly away: TellPoint<Session>
  readonly resumed: TellPoint<Session>
  readonly closed: TellPoint<Session>
}

export const makePoints = (log: Log): Points => ({
  entering: new AnswerPoint(),
  sending: new AnswerPoint(),
  dressing: new AnswerPoint(),
  receiving: new AnswerPoint(),
  keeping: new AnswerPoint(),
  undelivered: new AnswerPoint(),
  delivered: new TellPoint(log),
  refused: new TellPoint(log),
  remote: new AnswerPoint(),
  mentioned: new TellPoint(log),
  bound: new TellPoint(log),
  available: new TellPoint(log),
  shown: new TellPoint(log),
  unavailable: new TellPoint(log),
  answered: new TellPoint(log),
  away: new TellPoint(log),
  resumed: new TellPoint(log),
  closed: new TellPoint(log),
})

const ofSender = ({ origin }: StanzaEvent): string => origin.jid.domain
/** Of the one that is ours; the sender's, where both are. */
const ofEntering = ({ origin, to }: StanzaEvent): string =>
  origin.session === undefined ? to.domain : origin.jid.domain
const ofReceiver = ({ to }: StanzaEvent): string => to.domain
const ofAccount = ({ account }: AccountEvent): string => account.domain
const ofSession = (session: Session): string => session.jid.domain

/** The side of one feature: what it hooks goes with its scope, and hears of its domains only. */
export function hooksFor(points: Points, scope: Scope, domains: Domains | undefined): Hooks {
  const answers = <Event, Answer>(
    point: AnswerPoint<Event, Answer>,
    domainOf: (event: Event) => string,
  ): AnswerHook<Event, Answer> => ({
    on: (handler, priority) =>
      scope.defer(
        point.add(
          domains === undefined ? handler : (event) => (domains.covers(domainOf(event)) ? handler(event) : undefined),
          priority,
        ),
      ),
  })
  const tells = <Event>(point: TellPoint<Event>, domainOf: (event: Event) => string): TellHook<Event> => ({
    on: (handler, priority) =>
      scope.defer(
        point.add(
          domains === undefined
            ? handler
            : (event) => {
                if (domains.covers(domainOf(event))) handler(event)
              },
          priority,
        ),
      ),
  })
  return {
    entering: answers(points.entering, ofEntering),
    sending: answers(points.sending, ofSender),
    dressing: answers(points.dressing, ofSender),
    receiving: answers(points.receiving, ofAccount),
    keeping: answers(points.keeping, ofAccount),
    undelivered: answers(points.undelivered, ofAccount),
    remote: answers(points.remote, ofSender),
    delivered: tells(points.delivered, ofReceiver),
    refused: tells(points.refused, ({ session }) => ofSession(session)),
    mentioned: tells(points.mentioned, ofAccount),
    bound: tells(points.bound, ofSession),
    available: tells(points.available, ({ session }) => ofSession(session)),
    shown: tells(points.shown, ({ account }) => account.jid.domain),
    unavailable: tells(points.unavailable, ({ session }) => ofSession(session)),
    answered: tells(points.answered, ofReceiver),
    away: tells(points.away, ofSession),
    resumed: tells(points.resumed, ofSession),
    closed: tells(points.closed, ofSession),
  }
}
