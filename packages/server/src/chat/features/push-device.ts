// XEP-0357: which registered device a session is

import * as v from 'valibot'
import { sessionSlot } from '../core/session.ts'
import type { Registration } from './push.store.ts'

/** The registration of a session's own device. */
export const device = sessionSlot<Registration>(
  'push',
  v.strictObject({ jid: v.string(), node: v.string(), options: v.string() }),
)

export const isOf = (one: Registration | undefined, other: Registration): boolean =>
  one?.jid === other.jid && one.node === other.node
