// RFC 5321 §4.1.4: the name in EHLO

import { isIPv4, isIPv6 } from 'node:net'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { isLoopback } from '../../accounts/neighbourhood.ts'
import { accept, mailCheck, quarantine, reject, type Verdict } from '../pipeline/contracts.ts'
import { MailSettings } from '../settings.ts'

export const ownName = mailCheck({
  name: 'own-name',
  summary:
    "Judges the name that a server greets with: this server's own name, or a bare address, is what spam programs say.",
  config: v.strictObject({
    names: v.optional(
      v.pipe(
        v.array(v.string()),
        v.description('names that only this server may use; the hostname and all local domains are added'),
      ),
      [],
    ),
    action: v.optional(
      v.pipe(v.picklist(['reject', 'quarantine']), v.description('what happens to such mail')),
      'reject',
    ),
  }),

  create(config, scope) {
    const own = new Set([scope.use(MailSettings).hostname, ...config.names].map((name) => name.toLowerCase()))
    const accounts = scope.use(Accounts)
    const verdict = (text: string): Verdict =>
      config.action === 'reject' ? reject(550, '5.7.1', text) : quarantine(text)
    return {
      sender({ client }) {
        const hello = client.hello.toLowerCase().replace(/\.$/, '')
        // Programs on this machine greet with whatever they like.
        if (isLoopback(client.remoteAddress)) return accept()
        if (own.has(hello) || accounts.isLocal(hello))
          return verdict(`${client.hello} is this server's own name, not yours`)
        if (isIPv4(hello) || isIPv6(hello))
          return verdict(`Greet with a host name, or with the address in brackets: [${client.hello}]`)
        return accept()
      },
    }
  },
})
