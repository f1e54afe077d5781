// RFC 6120 §8.2.3, §10: IQ stanzas, and who of the server answers which request.

import { type Element, type Jid, resultReply, StanzaError } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import type { IqHandler, IqRequest, IqTarget, Origin, StanzaEvent } from './contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import { type Domains, isFor } from './domains.ts'
import type { Session } from './session.ts'

type RequestType = 'get' | 'set'

interface IqEntry {
  readonly name: string
  readonly handler: IqHandler
  readonly domains: Domains | undefined
}

export class IqRegistry {
  /** By target, type, namespace: a handful of names each. */
  readonly #handlers = new Map<string, readonly IqEntry[]>()

  /** Registers an answer; the newest one for a name wins, so that a new generation's feature takes over at once. */
  add(
    type: RequestType,
    xmlns: string,
    name: string,
    targets: readonly IqTarget[],
    handler: IqHandler,
    domains?: Domains,
  ): () => void {
    const entry = { name, handler, domains }
    for (const target of targets) {
      const key = place(type, target, xmlns)
      this.#handlers.set(key, [entry, ...(this.#handlers.get(key) ?? [])])
    }
    return () => {
      for (const target of targets) {
        const key = place(type, target, xmlns)
        const left = (this.#handlers.get(key) ?? []).filter((other) => other !== entry)
        if (left.length > 0) this.#handlers.set(key, left)
        else this.#handlers.delete(key)
      }
    }
  }

  find(type: RequestType, target: IqTarget, payload: Element, domain: string): IqHandler | undefined {
    const entries = this.#handlers.get(place(type, target, payload.xmlns))
    return entries?.find((entry) => entry.name === payload.name && isFor(entry.domains, domain))?.handler
  }
}

const place = (type: RequestType, target: IqTarget, xmlns: string): string => `${type} ${target} ${xmlns}`

/** What an IQ must be like before anybody looks at it (RFC 6120 §8.2.3). @throws StanzaError bad-request */
export function checkIq(iq: Element): void {
  const type = iq.get('type')
  const id = iq.get('id')
  if (id === undefined || id === '') throw StanzaError.of('bad-request', 'an IQ needs an id')
  if (type === 'result' || type === 'error') return
  if (type !== 'get' && type !== 'set') throw StanzaError.of('bad-request', 'unknown type of IQ')
  let payloads = 0
  for (const child of iq.children) if (typeof child !== 'string') payloads++
  if (payloads !== 1) throw StanzaError.of('bad-request', 'a request has exactly one child element')
}

/** True for what wants an answer. */
export const isRequest = (iq: Element): boolean => {
  const type = iq.get('type')
  return type === 'get' || type === 'set'
}

/** An IQ for a resource that is there. */
export function iqToSession(core: Core, origin: Origin, iq: Element, session: Session): void | Promise<void> {
  if (isRequest(iq)) {
    const answer = core.received({ stanza: iq, origin, to: session.jid, account: session.account.account, session })
    if (answer !== undefined) return answer === 'handled' ? undefined : answer
  } else if (session.account.blocked?.blocks(origin.jid.bareString, origin.jid.toString()) === true) return
  if (!session.send(iq)) iqUnmatched(iq)
}

/** An IQ for a resource that is not there, of an account that may not exist either (RFC 6121 §8.5.3.2.3). */
export function iqUnmatched(iq: Element): void {
  if (isRequest(iq)) throw StanzaError.of('service-unavailable')
}

/** An IQ for a bare JID: the server answers on the account's behalf (RFC 6121 §8.5.2.1.3). */
export function iqToAccount(
  core: Core,
  origin: Origin,
  iq: Element,
  to: Jid,
  online: OnlineAccount | undefined,
): void | Promise<void> {
  if (!isRequest(iq)) {
    if (!core.points.answered.empty) core.points.answered.tell({ stanza: iq, origin, to })
    return undefined
  }
  const own = origin.session !== undefined && origin.session.account.bare === to.bareString
  const payload = payloadOf(iq)
  const type = iq.get('type') as RequestType
  const handler =
    (own ? core.iq.find(type, 'self', payload, to.domain) : undefined) ??
    core.iq.find(type, 'account', payload, to.domain)
  if (handler === undefined) throw StanzaError.of('service-unavailable')
  if (online !== undefined) return answer(core, origin, iq, to, online.account, handler)
  return core.accounts.byAddress(to.bareString).then((account) => {
    // Whether there is such an account must not be seen: this is what an account answers that does not know the request.
    if (account === undefined) throw StanzaError.of('service-unavailable')
    return answer(core, origin, iq, to, account, handler)
  })
}

/** An IQ for one of our domains. */
export function iqToHost(core: Core, origin: Origin, iq: Element, to: Jid): void | Promise<void> {
  if (!isRequest(iq)) return undefined
  const handler = core.iq.find(iq.get('type') as RequestType, 'host', payloadOf(iq), to.domain)
  if (handler === undefined) throw StanzaError.of('service-unavailable')
  return answer(core, origin, iq, to, undefined, handler)
}

function answer(
  core: Core,
  origin: Origin,
  iq: Element,
  to: Jid,
  account: Account | undefined,
  handler: IqHandler,
): void | Promise<void> {
  if (account !== undefined) {
    const taken = core.received({ stanza: iq, origin, to, account })
    if (taken !== undefined) return taken === 'handled' ? undefined : taken
  }
  return answerRequest({ stanza: iq, origin, to }, account, handler)
}

/** Has a request answered, and sends the answer. A throw or rejection is what the sender is to be told. */
export function answerRequest(
  { stanza: iq, origin, to }: StanzaEvent,
  account: Account | undefined,
  handler: IqHandler,
): void | Promise<void> {
  let afterwards: (() => void) | undefined
  const send = (reply: Element): void => {
    origin.reply(reply)
    afterwards?.()
  }
  const request: IqRequest = {
    stanza: iq,
    payload: payloadOf(iq),
    origin,
    from: origin.jid,
    to,
    account,
    result: (payload) => resultReply(iq, payload),
    after: (act) => (afterwards = act),
  }
  const result = handler(request)
  return result instanceof Promise ? result.then(send) : send(result)
}

/** The one child of a request. @throws StanzaError bad-request */
export function payloadOf(iq: Element): Element {
  const payload = iq.firstElement
  if (payload === undefined) throw StanzaError.of('bad-request')
  return payload
}
