// RFC 6121 appendix A: the subscription states, and what each presence stanza does to them. Pure: no I/O, no rosters.

/** The user receives the contact's presence. */
export const TO = 1
/** The contact receives the user's presence. */
export const FROM = 2
/** The user has asked and waits for the contact's answer ("Pending Out"). */
export const PENDING_OUT = 4
/** The contact has asked and waits for the user's answer ("Pending In"). */
export const PENDING_IN = 8
/** The user has said yes before the contact asked (RFC 6121 §3.4). */
export const APPROVED = 16
/** The user sees the contact in the roster. A stranger's pending request alone makes no roster item (RFC 6121 §3.1.3). */
export const LISTED = 32

/** The administrator has put the contact there, by a group that both are in: neither side can undo it. */
export const SHARED = 64

/** A subscription state with its marks: the bits above. */
export type SubscriptionState = number

export type SubscriptionType = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed'

export const isSubscriptionType = (type: string | undefined): type is SubscriptionType =>
  type === 'subscribe' || type === 'subscribed' || type === 'unsubscribe' || type === 'unsubscribed'

/** The user knows the contact: there is more than a request that waits for an answer. */
export const isContact = (state: SubscriptionState): boolean => (state & ~PENDING_IN) !== 0

/** What becomes of a stanza that the user sends. */
export interface Outbound {
  readonly state: SubscriptionState
  /** The stanza goes on to the contact. */
  readonly route: boolean
}

/** What becomes of a stanza that the contact has sent. */
export interface Inbound {
  readonly state: SubscriptionState
  /** The user's clients get to see the stanza. */
  readonly deliver: boolean
  /** Answered on the user's behalf. */
  readonly reply?: 'subscribed'
}

/** RFC 6121 §A.2: the user sends `type` to the contact. */
export function outbound(state: SubscriptionState, type: SubscriptionType): Outbound {
  if (state & SHARED) return { state, route: false }
  switch (type) {
    case 'subscribe': // §A.2.1
      return { state: (state & TO ? state : state | PENDING_OUT) | LISTED, route: true }
    case 'unsubscribe': // §A.2.2
      return { state: state & ~(TO | PENDING_OUT), route: true }
    case 'subscribed': // §A.2.3; without a request to answer it is a pre-approval (§3.4.2)
      if (state & PENDING_IN) return { state: (state & ~PENDING_IN) | FROM | LISTED, route: true }
      return { state: state & FROM ? state : state | APPROVED | LISTED, route: false }
    case 'unsubscribed': // §A.2.4; it takes back a pre-approval, too (§3.4.2)
      return { state: state & ~(FROM | PENDING_IN | APPROVED), route: (state & (FROM | PENDING_IN)) !== 0 }
  }
}

/** RFC 6121 §A.3: the contact has sent `type` to the user. */
export function inbound(state: SubscriptionState, type: SubscriptionType): Inbound {
  if (state & SHARED) return { state, deliver: false, ...(type === 'subscribe' && { reply: 'subscribed' as const }) }
  switch (type) {
    case 'subscribe': // §A.3.1
      if (state & FROM) return { state, deliver: false, reply: 'subscribed' }
      if (state & APPROVED) return { state: (state | FROM) & ~PENDING_IN, deliver: false, reply: 'subscribed' }
      return { state: state | PENDING_IN, deliver: (state & PENDING_IN) === 0 }
    case 'unsubscribe': // §A.3.2
      return { state: state & ~(FROM | PENDING_IN), deliver: (state & (FROM | PENDING_IN)) !== 0 }
    case 'subscribed': // §A.3.3
      if ((state & PENDING_OUT) === 0) return { state, deliver: false }
      return { state: (state & ~PENDING_OUT) | TO, deliver: true }
    case 'unsubscribed': // §A.3.4
      return { state: state & ~(TO | PENDING_OUT), deliver: (state & (TO | PENDING_OUT)) !== 0 }
  }
}

/** The `subscription` attribute of a roster item (RFC 6121 §2.1.2.5). */
export const subscriptionName = (state: SubscriptionState): 'none' | 'to' | 'from' | 'both' =>
  state & TO ? (state & FROM ? 'both' : 'to') : state & FROM ? 'from' : 'none'
