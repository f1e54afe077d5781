// A smart host: one server, or several, that takes everything that is sent there

import { mailTarget } from '../pipeline/contracts.ts'
import { downstreamConfig } from './downstream/config.ts'
import { DownstreamCourier } from './downstream/courier.ts'
import { CourierTarget } from './remote/target.ts'

export const smtpTarget = mailTarget({
  name: 'smtp',
  summary: 'Sends everything to a server of your own choice (smart host, relay) by SMTP.',
  config: downstreamConfig(25, 'authenticated'),
  create: (config, scope) =>
    new CourierTarget({
      courier: new DownstreamCourier(scope, config, 'smtp', 25),
      together: true,
      quarantined: false,
      scope,
    }),
})
