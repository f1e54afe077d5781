// The kernel's clock as the smtp package takes it.

import type { Clock as SmtpClock } from '@aviso/smtp'
import type { Clock } from '../../../kernel/clock.ts'

export const smtpClock = (clock: Clock): SmtpClock => ({
  now: () => clock.monotonic(),
  after(ms, action) {
    let timer = clock.timeout(ms, action)
    return {
      refresh: () => {
        timer.cancel()
        timer = clock.timeout(ms, action)
      },
      cancel: () => timer.cancel(),
    }
  },
})
