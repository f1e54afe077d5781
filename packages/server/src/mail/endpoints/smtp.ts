// RFC 5321: mail from other servers

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { listenAddress } from '../../net/addresses.ts'
import { endpoints } from '../../net/contracts.ts'
import { Pipelines } from '../mail.ts'
import { listenSmtp, smtpSettings } from './session.ts'

export const smtp = defineModule({
  family: endpoints,
  name: 'smtp',
  summary: 'Takes mail from other servers for the local domains.',
  config: v.strictObject({
    listen: v.optional(v.pipe(v.array(listenAddress), v.description('where to listen; STARTTLS is offered')), [
      '[::]:25',
    ]),
    'max-recipients': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(100),
        v.description('of one mail (RFC 5321 §4.5.3.1.8: 100 at least)'),
      ),
      1000,
    ),
    ...smtpSettings,
  }),

  async create(config, scope) {
    const pipeline = scope.use(Pipelines).incoming
    return {
      bound: await listenSmtp(scope, {
        protocol: 'smtp',
        kind: 'smtp',
        pipeline,
        listen: config.listen.map((address) => [address, 'starttls'] as const),
        login: false,
        recipients: config['max-recipients'],
        settings: config,
      }),
    }
  },
})
