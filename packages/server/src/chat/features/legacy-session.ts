// RFC 3921 §3: session establishment, which RFC 6121 has done away with and old clients still ask for

import { el, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'

export const legacySession = chatFeature({
  name: 'legacy-session',
  summary: 'Lets clients of before 2011 establish a session, which means nothing today.',
  config: v.strictObject({}),

  attach(host) {
    host.streamFeature(({ authenticated }) =>
      authenticated ? el('session', { xmlns: NS.session }, el('optional', {})) : undefined,
    )
    host.iq.set(NS.session, 'session', ['host', 'self'], (iq) => iq.result())
  },
})
