// XEP-0012: Last Activity, of accounts

import { el, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'
import { lastActivityStore } from './last-activity.store.ts'

const LAST = 'jabber:iq:last'
const MAX_STATUS = 1000

export const lastActivity = chatFeature({
  name: 'last-activity',
  summary: 'Tells contacts when somebody was seen last.',
  config: v.strictObject({}),

  attach(host, _config, { clock, log }) {
    host.disco.feature(LAST, ['account'])

    host.hooks.unavailable.on(({ session, stanza }) => {
      const { account } = session
      if (account.sessions.some((other) => other !== session && other.available)) return
      const status = (stanza.childText('status') ?? '').slice(0, MAX_STATUS)
      host.store
        .account(lastActivityStore, account.account.id)
        .set({ at: clock.now(), status })
        .catch((error: unknown) => log.warn({ err: error, account: account.bare }, 'a last activity was not kept'))
    })

    host.iq.get(LAST, 'query', ['account'], async (iq) => {
      const { account } = iq
      // As if there were no such account, rather than XEP-0012's `forbidden`: strangers cannot tell which names exist.
      if (account === undefined || !(await host.maySeePresence(account, iq.from)))
        throw StanzaError.of('service-unavailable')
      if (host.sessions(account.address).some((session) => session.available))
        return iq.result(el('query', { xmlns: LAST, seconds: 0 }))
      const last = await host.store.account(lastActivityStore, account.id).get()
      if (last === undefined) throw StanzaError.of('item-not-found')
      const seconds = Math.max(0, Math.floor((clock.now() - last.at) / 1000))
      return iq.result(el('query', { xmlns: LAST, seconds }, last.status))
    })

    // §4: the clients of somebody are asked by those only who may see his presence.
    host.hooks.receiving.on(({ stanza, session, origin }) => {
      if (session === undefined || stanza.name !== 'iq') return undefined
      if (stanza.get('type') !== 'get' || stanza.firstElement?.is('query', LAST) !== true) return undefined
      const asker = origin.jid.bareString
      if (asker === session.account.bare || session.account.roster?.isSubscriber(asker) === true) return undefined
      if (session.directed?.has(origin.jid.toString()) === true) return undefined
      throw StanzaError.of('forbidden')
    })
  },
})
