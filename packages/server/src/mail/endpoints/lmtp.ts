// RFC 2033: mail from another mail server on this machine, with an answer for each recipient

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { listenAddress } from '../../net/addresses.ts'
import { endpoints } from '../../net/contracts.ts'
import { Pipelines } from '../mail.ts'
import { listenSmtp, smtpSettings } from './session.ts'

export const lmtp = defineModule({
  family: endpoints,
  name: 'lmtp',
  summary:
    'Takes mail for the local domains from a mail server that stands in front, such as Postfix. Whoever can connect can deliver: listen on loopback or a unix socket.',
  config: v.strictObject({
    listen: v.optional(
      v.pipe(
        v.array(listenAddress),
        v.description('where to listen: unix:/path, or an address; STARTTLS is offered there'),
      ),
      ['127.0.0.1:24'],
    ),
    'max-recipients': v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description('of one mail')), 10_000),
    ...smtpSettings,
  }),

  async create(config, scope) {
    return {
      bound: await listenSmtp(scope, {
        protocol: 'lmtp',
        kind: 'lmtp',
        pipeline: scope.use(Pipelines).incoming,
        listen: config.listen.map((address) => [address, address.startsWith('unix:') ? 'none' : 'starttls'] as const),
        login: false,
        recipients: config['max-recipients'],
        settings: config,
      }),
    }
  },
})
