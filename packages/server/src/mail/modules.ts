// The modules of the mail rooms.

import type { AnyModule } from '../kernel/module.ts'
import { authorisedSender } from './checks/authorised-sender.ts'
import { loops } from './checks/loops.ts'
import { ownName } from './checks/own-name.ts'
import { imap } from './endpoints/imap.ts'
import { lmtp } from './endpoints/lmtp.ts'
import { smtp } from './endpoints/smtp.ts'
import { submission } from './endpoints/submission.ts'
import { complete } from './modifiers/complete.ts'
import { discard } from './targets/discard.ts'

export const mailModules: readonly AnyModule[] = [
  smtp,
  submission,
  lmtp,
  imap,
  loops,
  ownName,
  authorisedSender,
  complete,
  discard,
]
