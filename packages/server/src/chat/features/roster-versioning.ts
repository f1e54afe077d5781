// RFC 6121 §2.6.1, §3.4: what the core's rosters can do, offered to clients

import { el, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { chatFeature } from '../core/contracts.ts'

export const rosterVersioning = chatFeature({
  name: 'roster-versioning',
  summary:
    'Sends clients only what changed in their roster since they saw it last, and lets them approve requests beforehand.',
  config: v.strictObject({}),

  attach(host) {
    host.streamFeature(({ authenticated }) => (authenticated ? el('ver', { xmlns: NS.rosterVersioning }) : undefined))
    host.streamFeature(({ authenticated }) => (authenticated ? el('sub', { xmlns: NS.preApproval }) : undefined))
  },
})
