// XEP-0060: what a request is refused with. Store workers import this file: it must stay light.

import type { StanzaCondition } from '@aviso/xmpp'
import { StoreError } from '../../store/contracts.ts'

/** The conditions of the namespace `pubsub#errors` that are used here. */
export type PubsubCondition =
  | 'closed-node'
  | 'invalid-jid'
  | 'invalid-options'
  | 'invalid-payload'
  | 'invalid-subid'
  | 'item-forbidden'
  | 'item-required'
  | 'jid-required'
  | 'max-items-exceeded'
  | 'max-nodes-exceeded'
  | 'nodeid-required'
  | 'not-in-roster-group'
  | 'not-subscribed'
  | 'payload-required'
  | 'payload-too-big'
  | 'pending-subscription'
  | 'precondition-not-met'
  | 'presence-subscription-required'
  | 'too-many-subscriptions'
  | 'unsupported'

export interface Refusal {
  readonly condition: StanzaCondition
  readonly detail?: PubsubCondition
  /** Of `unsupported`: which feature. */
  readonly feature?: string
  readonly text?: string
}

const PREFIX = 'pubsub'

/** A refusal as a store operation throws it. */
export const refused = ({ condition, detail = undefined, feature = '', text = '' }: Refusal): StoreError =>
  new StoreError([PREFIX, condition, detail ?? '', feature].join(' '), text)

/** The refusal that a store operation has thrown; undefined where it failed otherwise. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof StoreError)) return undefined
  const [prefix, condition, detail, feature] = error.code.split(' ')
  if (prefix !== PREFIX) return undefined
  return {
    condition: condition as StanzaCondition,
    ...(detail !== '' && { detail: detail as PubsubCondition }),
    ...(feature !== undefined && feature !== '' && { feature }),
    text: error.message,
  }
}
