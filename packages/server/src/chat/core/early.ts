// Requests of clients that have not logged in yet: to make an account, to look at an invitation.

import { type Element, resultReply, StanzaError, StreamError } from '@aviso/xmpp'
import type { EarlyHandler, Stranger } from './contracts.ts'
import type { Core } from './core.ts'
import { asStanzaError } from './subscribing.ts'

/** Answers an IQ request, see `Chat.early`; undefined where nobody knows it. */
export function answerEarly(core: Core, request: Element, stranger: Stranger): Promise<Element> | undefined {
  const [payload] = request.elements
  const type = request.get('type')
  if (payload === undefined || (type !== 'get' && type !== 'set')) return undefined
  const handler = core.earlyHandlers.find(payload, stranger.host)
  if (handler === undefined) return undefined
  return answer(core, handler, payload, stranger, type).then((result) => resultReply(request, result))
}

async function answer(
  core: Core,
  handler: EarlyHandler,
  payload: Element,
  stranger: Stranger,
  type: 'get' | 'set',
): Promise<Element | undefined> {
  try {
    return await handler(payload, stranger, type)
  } catch (error) {
    const known = asStanzaError(error)
    if (known instanceof StanzaError || known instanceof StreamError) throw known
    core.log.error({ err: error, session: stranger.id }, 'a request before the log-in could not be handled')
    throw StanzaError.of('internal-server-error')
  }
}
