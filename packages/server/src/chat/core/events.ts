// What happens in chat, as features are told it: stanzas on their way, sessions that come and go, and the hooks to have a say in it.

import type { Element, Jid } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { OnlineAccount } from './directory.ts'
import type { AnswerHook, TellHook } from './hooks.ts'
import type { Session } from './session.ts'

/** Who sent a stanza: a session of ours, or somebody on another server. */
export interface Origin {
  /** The full JID; of others, what they gave as `from`, which may be a bare JID or a domain. */
  readonly jid: Jid
  /** Set where the sender is a client of ours. */
  readonly session?: Session | undefined
  /** Sends something back to the sender. */
  reply(stanza: Element): void
}

/**
 * The answer of who took a stanza upon himself: done, or done when the promise resolves. The sender's next stanza waits for the promise; what it rejects with is told to
 * the sender (a StanzaError as it is, anything else as internal-server-error).
 */
export type Handled = 'handled' | Promise<void>

/** A stanza on its way: `from` is stamped and can be trusted. */
export interface StanzaEvent {
  readonly stanza: Element
  readonly origin: Origin
  /** The address that it is for; for a client's broadcast presence and its requests without `to`, the sender's own bare JID. */
  readonly to: Jid
}

/** What becomes of a stanza that has come in: the one that goes on in its place, or nothing further. */
export type Entered = Element | 'handled'

/** A stanza of a client of ours on its way out. */
export interface SendingEvent extends StanzaEvent {
  /** What the sender's other devices are shown of it, where that is more than what is sent. */
  own: Element | undefined
  /** The stanza counts as handled only when `work` is done as well; it goes on its way meanwhile. What it rejects with is told to the sender. */
  wait(work: Promise<void>): void
}

/** A stanza that is about to reach one of our accounts. */
export interface AccountEvent extends StanzaEvent {
  readonly account: Account
  /** The session that it is for, where it is for one. */
  readonly session?: Session | undefined
}

/** A message that was given to sessions. */
export interface DeliveredEvent extends StanzaEvent {
  readonly sessions: readonly Session[]
}

/** A stanza of a client of ours that its sender was told could not be delivered or answered. */
export interface RefusedEvent {
  readonly session: Session
  /** The stanza that was refused, with the sender's full JID. */
  readonly stanza: Element
  /** The error that the sender was sent. */
  readonly reply: Element
}

/** A session has changed its presence. `first`: it was not available before; `listening`: it was not available with a non-negative priority before, and is now. */
export interface PresenceEvent {
  readonly session: Session
  readonly stanza: Element
  readonly first: boolean
  readonly listening: boolean
}

/** An account shows its presence to somebody who did not see it before: a new contact, or one who is blocked no more. */
export interface ShownEvent {
  readonly account: OnlineAccount
  readonly to: Jid
}

/** A session has become unavailable. */
export interface UnavailableEvent {
  readonly session: Session
  /** What it said, or what is said in its name. */
  readonly stanza: Element
}

/** What is to be delivered, as soon as it is safe. */
export interface Kept {
  readonly message: Element
  /** Messages that become safe together share it. */
  readonly safe: Promise<unknown>
}

/** The places of the host where features have their say, in the order in which a stanza meets them. */
export interface Hooks {
  /**
   * A stanza has come in, from a client of ours or from another server; nothing was done with it yet. Asked before all others, and once for each stanza. `to` of what goes on in its place
   * must be prepared.
   */
  readonly entering: AnswerHook<StanzaEvent, Entered | Promise<Entered>>
  /** A client of ours sends a message, an IQ or a directed presence; nothing was done with it yet. */
  readonly sending: AnswerHook<SendingEvent, Handled>
  /** An available presence of a client of ours, broadcast or directed, before anybody sees it: answers what goes in its place. */
  readonly dressing: AnswerHook<StanzaEvent, Element>
  /** A stanza for an account of ours, from whomever, is about to be delivered or answered. Not asked for IQ results and errors. */
  readonly receiving: AnswerHook<AccountEvent, Handled>
  /**
   * A message that an account takes, before it is given to anybody: answers what is to be delivered in its place, when it may be. Asked once for each message.
   */
  readonly keeping: AnswerHook<AccountEvent, Element | Kept | Promise<Element>>
  /** A message (chat or normal) that no session of the account takes now. Unanswered, the sender is told service-unavailable. */
  readonly undelivered: AnswerHook<AccountEvent, Handled>
  /** A message was written to sessions. */
  readonly delivered: TellHook<DeliveredEvent>
  /** A stanza of a client of ours was answered with an error of the server's. */
  readonly refused: TellHook<RefusedEvent>
  /** A stanza for a domain that is not served here. Unanswered, the sender is told remote-server-not-found. */
  readonly remote: AnswerHook<StanzaEvent, Handled>
  /** A message was said in a room of ours for which one of its members is to be woken, who is not there: `stanza` as the room's occupants got it. */
  readonly mentioned: TellHook<AccountEvent>
  /** A session has bound its resource, or goes on after a restart. */
  readonly bound: TellHook<Session>
  /** A session has broadcast that it is available; its contacts were told. */
  readonly available: TellHook<PresenceEvent>
  readonly shown: TellHook<ShownEvent>
  /** A session has become unavailable, by its own word or by its end. */
  readonly unavailable: TellHook<UnavailableEvent>
  /** An IQ result or error for the bare address of an account: the answer to what was asked in its name. */
  readonly answered: TellHook<StanzaEvent>
  /** A session's client has lost its connection, and may come back: it goes on getting what is sent to it. */
  readonly away: TellHook<Session>
  /** It came back. */
  readonly resumed: TellHook<Session>
  /** A session is over. */
  readonly closed: TellHook<Session>
}
