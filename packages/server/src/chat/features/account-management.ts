// XEP-0077 §3.2, §3.3: users change their password, and close their account

import { el, Jid, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { AccountAdmin } from '../../accounts/administration.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import type { Session } from '../core/session.ts'
import { byAccounts } from './admin-forms.ts'

export const REGISTER = 'jabber:iq:register'

export const accountManagement = chatFeature({
  name: 'account-management',
  summary: 'Lets users change their password, and close their account.',
  config: v.strictObject({
    'change-password': v.optional(v.pipe(v.boolean(), v.description('users may change their password')), true),
    'close-account': v.optional(
      v.pipe(v.boolean(), v.description('users may close their account, which erases their mail as well')),
      false,
    ),
  }),

  attach(host, config, scope) {
    host.disco.feature(REGISTER)

    host.iq.get(REGISTER, 'query', ['host', 'self'], (iq) =>
      iq.result(
        el(
          'query',
          { xmlns: REGISTER },
          el('registered'),
          el('username', {}, sessionOf(iq).account.account.local),
          el('password'),
        ),
      ),
    )

    host.iq.set(REGISTER, 'query', ['host', 'self'], async (iq) => {
      const session = sessionOf(iq)
      const { address } = session.account.account
      const door = scope.use(AccountAdmin).as(address)
      if (iq.payload.child('remove') !== undefined) {
        if (!config['close-account']) throw StanzaError.of('not-allowed', 'ask the administrator')
        await close(session, iq, () => byAccounts(door.deleteAccount(address)))
        return iq.result()
      }
      if (!config['change-password']) throw StanzaError.of('not-allowed', 'ask the administrator')
      const username = iq.payload.childText('username') ?? ''
      const password = iq.payload.childText('password') ?? ''
      if (username === '' || password === '') throw StanzaError.of('bad-request', 'a name and a password are needed')
      const domain = session.account.account.domain
      const named = Jid.tryParse(username.includes('@') ? username : `${username}@${domain}`)
      if (named?.bareString !== address) throw StanzaError.of('not-allowed', 'this is not your account')
      // The other clients have to log in anew.
      session.stays = ({ kind }) => kind === 'password'
      try {
        await byAccounts(door.setPassword(address, password))
      } finally {
        session.stays = undefined
      }
      return iq.result()
    })
  },
})

function sessionOf(iq: IqRequest): Session {
  const { session } = iq.origin
  if (session === undefined) throw StanzaError.of('forbidden')
  return session
}

/** Closes the account. Its client hears so once it is certain, and before its stream ends. */
async function close(session: Session, iq: IqRequest, act: () => Promise<void>): Promise<void> {
  session.stays = ({ kind }) => {
    if (kind === 'deleted') session.wire.send(iq.result())
    return false
  }
  try {
    await act()
  } finally {
    session.stays = undefined
  }
}
