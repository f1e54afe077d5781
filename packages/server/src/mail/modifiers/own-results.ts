// RFC 8601 §5: Authentication-Results that claim to be ours but came from outside

import * as v from 'valibot'
import { mailModifier } from '../pipeline/contracts.ts'
import { MailSettings } from '../settings.ts'

export const ownResults = mailModifier({
  name: 'own-results',
  summary: "Takes out verdicts that a stranger wrote in this server's name, so that filters believe only real ones.",
  config: v.strictObject({}),

  create(_config, scope) {
    const ours = scope.use(MailSettings).hostname.toLowerCase()
    return {
      edit(_mail, { header }) {
        const forged = header
          .all('Authentication-Results')
          .some((value) => (/^\s*([^\s;]+)/.exec(value)?.[1] ?? '').toLowerCase() === ours)
        // Which of several is the forged one does not matter: none of them was made by us.
        return forged ? { remove: ['Authentication-Results'] } : {}
      },
    }
  },
})
