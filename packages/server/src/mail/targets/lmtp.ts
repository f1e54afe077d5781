// RFC 2033: hands mail to an LMTP server, which answers for each recipient

import { mailTarget } from '../pipeline/contracts.ts'
import { downstreamConfig } from './downstream/config.ts'
import { DownstreamCourier } from './downstream/courier.ts'
import { CourierTarget } from './remote/target.ts'

export const lmtpTarget = mailTarget({
  name: 'lmtp',
  summary: 'Hands mail to another mail store (Dovecot, Cyrus, a filter) by LMTP.',
  config: downstreamConfig(24, 'none'),
  create: (config, scope) =>
    new CourierTarget({
      courier: new DownstreamCourier(scope, config, 'lmtp', 24),
      together: true,
      quarantined: true,
      scope,
    }),
})
