// RFC 6120 §7: resource binding, as it is asked for and answered

import { el, type Element } from '../element.ts'
import type { Jid } from '../jid.ts'
import { NS } from '../namespaces.ts'
import { resultReply } from '../stanza-error.ts'

/** True for an IQ that asks for a resource. */
export function isBindRequest(stanza: Element): boolean {
  return stanza.name === 'iq' && stanza.get('type') === 'set' && stanza.child('bind', NS.bind) !== undefined
}

/** The resource that a request names; undefined where the server is to make one (§7.6). */
export function wantedResource(request: Element): string | undefined {
  const resource = request.child('bind', NS.bind)?.childText('resource')
  return resource === '' ? undefined : resource
}

/** Tells the client its full address. */
export const boundReply = (request: Element, jid: Jid): Element =>
  resultReply(request, el('bind', { xmlns: NS.bind }, el('jid', {}, jid.toString())))
