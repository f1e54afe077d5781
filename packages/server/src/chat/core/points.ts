// The places of the host where features have their say, as the core asks and tells there.

import type { Element } from '@aviso/xmpp'
import type { Log } from '../../kernel/log.ts'
import type { Scope } from '../../kernel/scope.ts'
import type {
  AccountEvent,
  DeliveredEvent,
  Handled,
  Hooks,
  PresenceEvent,
  RefusedEvent,
  SendingEvent,
  StanzaEvent,
  UnavailableEvent,
} from './contracts.ts'
import { type AnswerHook, AnswerPoint, type TellHook, TellPoint } from './hooks.ts'
import type { Session } from './session.ts'

/** The side of the core of `Hooks`. */
export interface Points {
  readonly sending: AnswerPoint<SendingEvent, Handled>
  readonly receiving: AnswerPoint<AccountEvent, Handled>
  readonly keeping: AnswerPoint<AccountEvent, Element | Promise<Element>>
  readonly undelivered: AnswerPoint<AccountEvent, Handled>
  readonly delivered: TellPoint<DeliveredEvent>
  readonly refused: TellPoint<RefusedEvent>
  readonly remote: AnswerPoint<StanzaEvent, Handled>
  readonly mentioned: TellPoint<AccountEvent>
  readonly bound: TellPoint<Session>
  readonly available: TellPoint<PresenceEvent>
  readonly unavailable: TellPoint<UnavailableEvent>
  readonly answered: TellPoint<StanzaEvent>
  readonly away: TellPoint<Session>
  readonly resumed: TellPoint<Session>
  readonly closed: TellPoint<Session>
}

export const makePoints = (log: Log): Points => ({
  sending: new AnswerPoint(),
  receiving: new AnswerPoint(),
  keeping: new AnswerPoint(),
  undelivered: new AnswerPoint(),
  delivered: new TellPoint(log),
  refused: new TellPoint(log),
  remote: new AnswerPoint(),
  mentioned: new TellPoint(log),
  bound: new TellPoint(log),
  available: new TellPoint(log),
  unavailable: new TellPoint(log),
  answered: new TellPoint(log),
  away: new TellPoint(log),
  resumed: new TellPoint(log),
  closed: new TellPoint(log),
})

/** The side of one feature: what it hooks goes with its scope. */
export function hooksFor(points: Points, scope: Scope): Hooks {
  const answers = <Event, Answer>(point: AnswerPoint<Event, Answer>): AnswerHook<Event, Answer> => ({
    on: (handler, priority) => scope.defer(point.add(handler, priority)),
  })
  const tells = <Event>(point: TellPoint<Event>): TellHook<Event> => ({
    on: (handler, priority) => scope.defer(point.add(handler, priority)),
  })
  return {
    sending: answers(points.sending),
    receiving: answers(points.receiving),
    keeping: answers(points.keeping),
    undelivered: answers(points.undelivered),
    remote: answers(points.remote),
    delivered: tells(points.delivered),
    refused: tells(points.refused),
    mentioned: tells(points.mentioned),
    bound: tells(points.bound),
    available: tells(points.available),
    unavailable: tells(points.unavailable),
    answered: tells(points.answered),
    away: tells(points.away),
    resumed: tells(points.resumed),
    closed: tells(points.closed),
  }
}
