// RFC 6120 §4.3.2: what a stream offers, as text: many streams are offered the same

import { el, type Element } from '../element.ts'
import { NS } from '../namespaces.ts'
import type { Sasl2Handlers } from './sasl2.ts'
import type { ServerStreamHandlers, ServerStreamLimits, ServerStreamOptions } from './server-contracts.ts'
import type { ServerStream } from './server-stream.ts'

/** Texts that are remembered. With more of them than that there is something in the keys that should not be: all are forgotten. */
const MOST = 256

/** One for all streams of an endpoint. */
export class FeatureTexts {
  readonly #texts = new Map<string, string>()

  /** The text of `key`, made where it is not remembered. */
  of(key: string, make: () => string): string {
    const known = this.#texts.get(key)
    if (known !== undefined) return known
    const text = make()
    if (this.#texts.size >= MOST) this.#texts.clear()
    this.#texts.set(key, text)
    return text
  }
}

type Offered = Pick<ServerStreamOptions, 'starttls' | 'featureTexts' | 'namespace'> & {
  readonly limits: Pick<ServerStreamLimits, 'stanzaBytes' | 'unauthenticatedStanzaBytes'>
}

/** The features of a stream's current state. */
export function streamFeatures(stream: ServerStream, offered: Offered, handlers: ServerStreamHandlers): string {
  const { featureTexts } = offered
  const make = (): string => `<stream:features>${featureElements(stream, offered, handlers).join('')}</stream:features>`
  const key = featureTexts === undefined ? undefined : handlers.featuresKey?.(stream)
  if (featureTexts === undefined || key === undefined) return make()
  return featureTexts.of(`${stream.state} ${stream.secure} ${stream.host} ${key}`, make)
}

function featureElements(stream: ServerStream, offered: Offered, handlers: ServerStreamHandlers): Element[] {
  const features: Element[] = []
  const starttls = stream.secure ? undefined : offered.starttls
  if (starttls !== undefined) features.push(el('starttls', { xmlns: NS.tls }, starttls.required && el('required')))
  if (stream.state === 'negotiating' && starttls?.required !== true) {
    const mechanisms = handlers.mechanisms(stream)
    if (mechanisms.length > 0) {
      features.push(el('mechanisms', { xmlns: NS.sasl }, ...mechanisms.map((name) => el('mechanism', {}, name))))
      if (handlers.sasl2 !== undefined) features.push(authentication(mechanisms, handlers.sasl2))
    }
  }
  if (stream.state === 'authenticated' && handlers.bind !== undefined) features.push(el('bind', { xmlns: NS.bind }))
  if (starttls?.required === true) return features
  const { stanzaBytes, unauthenticatedStanzaBytes } = offered.limits
  // A server that proves itself by dialback is not offered anything again: it is told what will count for it.
  const known = stream.state !== 'negotiating' || offered.namespace === NS.server
  features.push(...(handlers.features?.(stream) ?? []), streamLimits(known ? stanzaBytes : unauthenticatedStanzaBytes))
  return features
}

/** XEP-0478 (0.2.0): how large an element the peer may send. How long it may be silent is not told: nobody is sent away for it. */
export const streamLimits = (maxBytes: number): Element =>
  el('limits', { xmlns: NS.streamLimits }, el('max-bytes', {}, String(maxBytes)))

function authentication(mechanisms: readonly string[], handlers: Sasl2Handlers): Element {
  const { inline, others } = handlers.offer()
  return el(
    'authentication',
    { xmlns: NS.sasl2 },
    ...mechanisms.map((name) => el('mechanism', {}, name)),
    inline.length > 0 && el('inline', {}, ...inline),
    ...others,
  )
}
