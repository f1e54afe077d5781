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
        const forged = header.all('Authentication-Results').some((value) => authservId(value) === ours)
        // Which of several is the forged one does not matter: none of them was made by us.
        return forged ? { remove: ['Authentication-Results'] } : {}
      },
    }
  },
})

/** RFC 8601 §2.2: the first word of the field, which comments may precede and quotes surround; lower case, without a final dot. */
function authservId(value: string): string {
  let at = 0
  for (let depth = 0; at < value.length; at++) {
    const character = value[at]
    if (character === '(') depth++
    else if (depth > 0 && character === ')') depth--
    else if (depth > 0 && character === '\\') at++
    else if (depth === 0 && character !== ' ' && character !== '\t') break
  }
  const rest = value.slice(at)
  const id = rest.startsWith('"') ? rest.slice(1).split('"', 1)[0] : rest.split(/[\s;(]/, 1)[0]
  return (id ?? '').replaceAll('\\', '').toLowerCase().replace(/\.$/, '')
}
