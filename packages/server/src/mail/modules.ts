// The modules of the mail rooms.

import type { AnyModule } from '../kernel/module.ts'
import { arc } from './checks/arc.ts'
import { authorisedSender } from './checks/authorised-sender.ts'
import { dkim } from './checks/dkim.ts'
import { dmarc } from './checks/dmarc.ts'
import { clamav } from './checks/clamav.ts'
import { command } from './checks/command.ts'
import { dnsbl } from './checks/dnsbl/dnsbl.ts'
import { greylist } from './checks/greylist/greylist.ts'
import { loops } from './checks/loops.ts'
import { milter } from './checks/milter/milter.ts'
import { ownName } from './checks/own-name.ts'
import { spf } from './checks/spf.ts'
import { requireTls } from './checks/require-tls.ts'
import { rspamd } from './checks/rspamd/rspamd.ts'
import { reverseName } from './checks/reverse-name.ts'
import { senderMx } from './checks/sender-mx.ts'
import { imap } from './endpoints/imap.ts'
import { lmtp } from './endpoints/lmtp.ts'
import { smtp } from './endpoints/smtp.ts'
import { submission } from './endpoints/submission.ts'
import { arcSealing } from './modifiers/arc.ts'
import { complete } from './modifiers/complete.ts'
import { header } from './modifiers/header.ts'
import { replaceRecipient, replaceSender } from './modifiers/replace.ts'
import { subaddress } from './modifiers/subaddress.ts'
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
  requireTls,
  senderMx,
  reverseName,
  dnsbl,
  greylist,
  rspamd,
  milter,
  clamav,
  command,
  authorisedSender,
  spf,
  dkim,
  dmarc,
  arc,
  complete,
  replaceSender,
  replaceRecipient,
  subaddress,
  header,
  dkimSigning,
  arcSealing,
  srs,
  discard,
  smtpTarget,
  lmtpTarget,
]
