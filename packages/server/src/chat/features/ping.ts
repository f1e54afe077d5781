// XEP-0199: XMPP Ping

import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'

export const ping = chatFeature({
  name: 'ping',
  summary: 'Answers pings, so that clients can tell a dead connection from a quiet one.',
  config: v.strictObject({}),

  attach(host) {
    host.disco.feature('urn:xmpp:ping', ['host', 'service'])
    host.iq.get('urn:xmpp:ping', 'ping', ['host', 'account', 'service'], (iq) => iq.result())
  },
})
