// RFC 3207 §4: mail by TLS only

import * as v from 'valibot'
import { accept, mailCheck } from '../pipeline/contracts.ts'
import { action, carryOut } from './action.ts'

export const requireTls = mailCheck({
  name: 'require-tls',
  summary: 'Takes mail only over connections that are under TLS.',
  config: v.strictObject({ plaintext: action('reject', 'the connection is in the clear') }),

  create: (config) => ({
    sender({ client }) {
      // Mail that no connection brought was in nobody's sight.
      if (client.tls !== undefined || client.remoteAddress === '') return accept()
      return carryOut(
        config.plaintext,
        { reject: [550, '5.7.1'], defer: [451, '4.7.1'], text: 'TLS is required here: use STARTTLS first' },
        'the connection is in the clear',
      )
    },
  }),
})
