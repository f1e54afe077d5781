// XEP-0092: Software Version

import { el, NS } from '@aviso/xmpp'
import * as v from 'valibot'
import { version as ownVersion } from '../../kernel/version.ts'
import { chatFeature } from '../core/contracts.ts'

export const version = chatFeature({
  name: 'version',
  summary: 'Tells which software runs here, and in which version.',
  config: v.strictObject({
    'show-version': v.optional(v.pipe(v.boolean(), v.description('tell the version too, not only the name')), true),
  }),

  attach(host, config) {
    host.disco.feature(NS.version, ['host', 'service'])
    host.iq.get(NS.version, 'query', ['host', 'service'], (iq) =>
      iq.result(
        el(
          'query',
          { xmlns: NS.version },
          el('name', {}, 'Aviso'),
          el('version', {}, config['show-version'] ? ownVersion() : 'hidden'),
        ),
      ),
    )
  },
})
