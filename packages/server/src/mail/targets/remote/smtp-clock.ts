// The kernel's clock as the smtp package takes it.

import type { Clock as SmtpClock } from '@aviso/smtp'
import type { Clock } from '../../../kernel/clock.ts'

export const smtpClock = (clock: Clock): SmtpClock => ({
  now: () => clock.monotonic(),
  after: (ms, action) => clock.timeout(ms, action),
})
