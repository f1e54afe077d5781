// RFC 8617: Authenticated Received Chain

import * as v from 'valibot'
import type { ArcResult } from '../authentication/arc/verify.ts'
import { Authenticator, judgingOutside } from '../authentication/findings.ts'
import { resinfo } from '../authentication/results.ts'
import { mailCheck } from '../pipeline/contracts.ts'
import { action, carryOut, usual } from './action.ts'

export const arc = mailCheck({
  name: 'arc',
  summary:
    'Validates the chain of seals that forwarders left on a message, for the record; the check dmarc believes those whom it is told to trust.',
  config: v.strictObject({
    fail: action('accept', 'there is a chain, and it is broken'),
    temperror: action('accept', 'the DNS does not answer for a key of the chain'),
  }),

  async create(config, scope) {
    const authenticator = await Authenticator.open(scope)
    return judgingOutside({
      async content(mail, message) {
        const result = await authenticator.arc(mail, message)
        const { status, reason } = result
        const besides = { why: `${status}: ${reason}`, results: [arcResinfo(result)] }
        // RFC 7372 has no code for it; RFC 8617 §10.
        if (status === 'fail') return carryOut(config.fail, usual('7.29', `ARC: ${reason}`), besides)
        if (status === 'temperror') return carryOut(config.temperror, usual('7.29', `ARC: ${reason}`), besides)
        return { action: 'accept', ...besides }
      },
    })
  },
})

/** RFC 8617 §10.2: `arc=pass` with who sealed last, and how far back the message is the same. */
export const arcResinfo = ({ status, reason, oldestPass }: ArcResult): string =>
  resinfo({
    method: 'arc',
    result: status,
    comment: reason,
    properties: [['header.oldest-pass', oldestPass === undefined ? undefined : String(oldestPass)]],
  })
