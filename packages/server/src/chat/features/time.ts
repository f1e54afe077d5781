// XEP-0202: Entity Time

import { el } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'

const TIME = 'urn:xmpp:time'

export const time = chatFeature({
  name: 'time',
  summary: "Tells the server's time.",
  config: v.strictObject({}),

  attach(host, _config, { clock }) {
    host.disco.feature(TIME, ['host', 'service'])
    host.iq.get(TIME, 'time', ['host', 'service'], (iq) => {
      const utc = new Date(clock.now()).toISOString()
      return iq.result(el('time', { xmlns: TIME }, el('tzo', {}, 'Z'), el('utc', {}, utc)))
    })
  },
})
