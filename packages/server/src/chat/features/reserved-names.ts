// RFC 2142 and its like: names that speak for the server are not for whoever comes first

import * as v from 'valibot'
import { AccountError } from '../../accounts/errors.ts'
import { accountRooms } from '../../accounts/rooms.ts'
import { chatFeature } from '../core/contracts.ts'
import { skeleton } from './confusables.ts'

const NAMES = [
  'abuse',
  'admin',
  'administrator',
  'daemon',
  'ftp',
  'help',
  'hostmaster',
  'info',
  'mail',
  'mailer-daemon',
  'marketing',
  'moderator',
  'news',
  'noc',
  'no-reply',
  'noreply',
  'operator',
  'postmaster',
  'root',
  'sales',
  'security',
  'server',
  'service',
  'support',
  'sysadmin',
  'system',
  'usenet',
  'uucp',
  'webmaster',
  'www',
  'xmpp',
]

export const reservedNames = chatFeature({
  name: 'reserved-names',
  summary: 'Keeps people from registering names that others take for the server’s own.',
  config: v.strictObject({
    names: v.optional(
      v.pipe(
        v.array(v.pipe(v.string(), v.minLength(1))),
        v.description('names that only administrators give; those that look the same are meant, too'),
      ),
      NAMES,
    ),
  }),

  attach(host, { names }, scope) {
    const rooms = scope.find(accountRooms)
    if (rooms === undefined) return
    const looks = new Set(names.map((name) => skeleton(name.toLowerCase())))
    scope.defer(
      rooms.register({
        name: 'chat-reserved-names',
        create: async () => {},
        admit: async ({ local, domain, address, chosen }) => {
          if (chosen && host.covers(domain) && looks.has(skeleton(local)))
            throw new AccountError('exists', `the name ${address} is not given to everybody`)
        },
      }),
    )
  },
})
