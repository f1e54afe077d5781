// XEP-0012 §5: how long the server is up

import { el } from '@aviso/xmpp'
import * as v from 'valibot'
import { serviceKey } from '../../kernel/scope.ts'
import { chatFeature } from '../core/contracts.ts'

const LAST = 'jabber:iq:last'
/** Outlives a reload of the config. */
const SINCE = serviceKey<number>('chat-since')

export const uptime = chatFeature({
  name: 'uptime',
  summary: 'Tells since when the server is up.',
  config: v.strictObject({}),

  async attach(host, _config, scope) {
    const since = await scope.keep(SINCE, () => scope.clock.monotonic())
    host.disco.feature(LAST, ['host', 'service'])
    host.iq.get(LAST, 'query', ['host', 'service'], (iq) =>
      iq.result(el('query', { xmlns: LAST, seconds: Math.floor((scope.clock.monotonic() - since) / 1000) })),
    )
  },
})
