// The modules of the mail rooms.

import type { AnyModule } from '../kernel/module.ts'
import { authorisedSender } from './checks/authorised-sender.ts'
import { clamav } from './checks/clamav.ts'
import { command } from './checks/command.ts'
import { dnsbl } from './checks/dnsbl/dnsbl.ts'
import { greylist } from './checks/greylist/greylist.ts'
import { loops } from './checks/loops.ts'
import { milter } from './checks/milter/milter.ts'
import { ownName } from './checks/own-name.ts'
import { requireTls } from './checks/require-tls.ts'
import { rspamd } from './checks/rspamd/rspamd.ts'
import { reverseName } from './checks/reverse-name.ts'
import { senderMx } from './checks/sender-mx.ts'
import { imap } from './endpoints/imap.ts'
import { smtp } from './endpoints/smtp.ts'
import { submission } from './endpoints/submission.ts'
import { complete } from './modifiers/complete.ts'
import { header } from './modifiers/header.ts'
import { replaceRecipient, replaceSender } from './modifiers/replace.ts'
import { subaddress } from './modifiers/subaddress.ts'
import { discard } from './targets/discard.ts'

export const mailModules: readonly AnyModule[] = [
  smtp,
  submission,
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
  complete,
  replaceSender,
  replaceRecipient,
  subaddress,
  header,
  discard,
]
