// What streams ask of elements before they hand them on.

import type { Element } from '../element.ts'
import { StreamError } from '../stream-error.ts'

/** True for an IQ request that can be answered (RFC 6120 §8.2.3). */
export const isRequest = (stanza: Element): boolean =>
  stanza.name === 'iq' &&
  (stanza.get('type') === 'get' || stanza.get('type') === 'set') &&
  stanza.get('id') !== undefined &&
  stanza.elements.length === 1

/** An element that is no stanza must be known to somebody. @throws StreamError unsupported-stanza-type, or rejects with it (RFC 6120 §4.9.3.24) */
export function demandKnown(known: boolean | Promise<boolean>): void | Promise<void> {
  if (typeof known !== 'boolean') return known.then(demandKnown)
  if (!known) throw new StreamError('unsupported-stanza-type')
}
