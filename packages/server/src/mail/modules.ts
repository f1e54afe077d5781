// The modules of the mail rooms.

import type { AnyModule } from '../kernel/module.ts'
import { arc } from './checks/arc.ts'
import { authorisedSender } from './checks/authorised-sender.ts'
import { dkim } from './checks/dkim.ts'
import { dmarc } from './checks/dmarc.ts'
import { loops } from './checks/loops.ts'
import { ownName } from './checks/own-name.ts'
import { spf } from './checks/spf.ts'
import { imap } from './endpoints/imap.ts'
import { lmtp } from './endpoints/lmtp.ts'
import { smtp } from './endpoints/smtp.ts'
import { submission } from './endpoints/submission.ts'
import { arcSealing } from './modifiers/arc.ts'
import { complete } from './modifiers/complete.ts'
import { dkimSigning } from './modifiers/dkim.ts'
import { srs } from './modifiers/srs.ts'
import { discard } from './targets/discard.ts'
import { lmtpTarget } from './targets/lmtp.ts'
import { smtpTarget } from './targets/smtp.ts'

export const mailModules: readonly AnyModule[] = [
  smtp,
  submission,
  lmtp,
  imap,
  loops,
  ownName,
  authorisedSender,
  spf,
  dkim,
  dmarc,
  arc,
  complete,
  dkimSigning,
  arcSealing,
  srs,
  discard,
  smtpTarget,
  lmtpTarget,
]
