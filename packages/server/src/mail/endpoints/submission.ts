// RFC 6409 and RFC 8314: mail from our own accounts

import * as v from 'valibot'
import { defineModule } from '../../kernel/module.ts'
import { duration } from '../../kernel/units.ts'
import { listenAddress } from '../../net/addresses.ts'
import { endpoints } from '../../net/contracts.ts'
import { Pipelines } from '../mail.ts'
import { listenSmtp, smtpSettings } from './session.ts'

export const submission = defineModule({
  family: endpoints,
  name: 'submission',
  summary: 'Takes mail from the mail programs of our accounts, after a login.',
  config: v.strictObject({
    listen: v.optional(
      v.pipe(
        v.array(listenAddress),
        v.description('where to listen for clients that begin in the clear and use STARTTLS'),
      ),
      ['[::]:587'],
    ),
    'listen-tls': v.optional(v.pipe(v.array(listenAddress), v.description('where to listen with TLS from the start')), [
      '[::]:465',
    ]),
    'max-recipients': v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description('of one mail')), 1000),
    'future-release': v.pipe(
      duration('30d'),
      v.description("for how long a mail may be held back at its sender's wish (RFC 4865); 0s: not offered"),
    ),
    ...smtpSettings,
  }),

  async create(config, scope) {
    const pipeline = scope.use(Pipelines).outgoing
    return {
      bound: await listenSmtp(scope, {
        protocol: 'submission',
        kind: 'submission',
        pipeline,
        listen: [
          ...config.listen.map((address) => [address, 'starttls'] as const),
          ...config['listen-tls'].map((address) => [address, 'implicit'] as const),
        ],
        login: true,
        recipients: config['max-recipients'],
        settings: config,
        extensions: { deliverBy: true, priority: true, futureRelease: Math.floor(config['future-release'] / 1000) },
      }),
    }
  },
})
