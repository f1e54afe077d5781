// RFC 6409 §8: what a submission server may add to a mail that a user's program left unfinished

import { formatDate } from '@aviso/mime'
import * as v from 'valibot'
import { mailModifier } from '../pipeline/contracts.ts'
import { MailSettings } from '../settings.ts'

export const complete = mailModifier({
  name: 'complete',
  summary: 'Adds Date and Message-ID where a mail program forgot them, and takes out Bcc, which nobody shall see.',
  config: v.strictObject({}),

  create(_config, scope) {
    const { hostname } = scope.use(MailSettings)
    return {
      edit(mail, { header }) {
        const prepend: string[] = []
        if (header.get('Date') === undefined) prepend.push(`Date: ${formatDate(mail.received)}`)
        if (header.get('Message-ID') === undefined) prepend.push(`Message-ID: <${mail.id}@${hostname}>`)
        return { prepend, remove: ['Bcc'] }
      },
    }
  },
})
