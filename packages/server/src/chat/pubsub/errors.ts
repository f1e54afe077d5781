// XEP-0060 §14.4: refusals as stanza errors

import { el, StanzaError } from '@aviso/xmpp'
import { PUBSUB_ERRORS } from './names.ts'
import { type PubsubCondition, type Refusal, refusalOf } from './refusal.ts'

export function errorOf({ condition, detail, feature, text }: Refusal): StanzaError {
  const app = detail === undefined ? undefined : el(detail, { xmlns: PUBSUB_ERRORS, feature })
  return StanzaError.of(condition, text, { app })
}

export const pubsubError = (condition: Refusal['condition'], detail: PubsubCondition, text = ''): StanzaError =>
  errorOf({ condition, detail, text })

export const unsupported = (feature: string): StanzaError =>
  errorOf({ condition: 'feature-not-implemented', detail: 'unsupported', feature })

/** Waits for a store operation; what it refuses is thrown as the error that the asker is told. */
export async function asked<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const refusal = refusalOf(error)
    throw refusal === undefined ? error : errorOf(refusal)
  }
}
