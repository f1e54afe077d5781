// XEP-0401: Ad-hoc Account Invitation Generation, and the server's side of XEP-0379: Pre-Authenticated Roster Subscription

import { el, Jid, NS, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { accountRooms } from '../../accounts/rooms.ts'
import { duration } from '../../kernel/units.ts'
import { type CommandCall, finished } from '../core/commands.ts'
import { chatFeature, type Origin } from '../core/contracts.ts'
import { form, result } from '../core/forms.ts'
import { rosterStore } from '../core/roster.store.ts'
import { Invites, type InviteWish, type MadeInvite } from '../invites/invites.ts'
import { byAccounts } from './admin-forms.ts'

const INVITE = 'urn:xmpp:invite'
export const PARS = 'urn:xmpp:pars:0'

export const invites = chatFeature({
  name: 'invites',
  summary: 'Invites people: to an account, to become a contact, to set a new password.',
  config: v.strictObject({
    contacts: v.optional(v.pipe(v.boolean(), v.description('users may invite people to become their contacts')), true),
    accounts: v.optional(
      v.pipe(
        v.boolean(),
        v.description('whom they invite may make an account here, where in-band registration takes invitations'),
      ),
      false,
    ),
    lifetime: v.pipe(duration('7d'), v.description('how long an invitation is good for')),
    'max-open': v.optional(
      v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.description('how many invitations one account may have at a time'),
      ),
      20,
    ),
  }),

  attach(host, config, scope) {
    const book = new Invites(host.store, host.accounts, scope.clock, scope.random)
    const rooms = scope.find(accountRooms)
    if (rooms !== undefined)
      scope.defer(
        rooms.register({ name: 'chat-invites', create: async () => {}, erase: ({ address }) => book.forget(address) }),
      )

    const counted = scope.metrics.counter('aviso_chat_invites', 'Invitations that users made, by kind', ['kind'])
    const make = async (wish: InviteWish): Promise<MadeInvite> => {
      const made = await byAccounts(book.make({ lifetime: config.lifetime, limit: config['max-open'], ...wish }))
      counted.inc({ kind: wish.kind })
      return made
    }
    const told = ({ uri, expires }: MadeInvite) =>
      finished(
        undefined,
        result(
          { title: 'Invitation', instructions: 'Pass this on to whom you invite.', formType: `${INVITE}#invitation` },
          [
            { name: 'uri', type: 'text-single', label: 'Address of the invitation', values: [uri] },
            { name: 'expire', type: 'text-single', label: 'Good until', values: [new Date(expires).toISOString()] },
          ],
        ),
      )

    if (config.contacts)
      host.command({
        node: `${INVITE}#invite`,
        name: 'Invite somebody',
        needs: 'invite-contacts',
        run: async ({ account }) =>
          told(await make({ kind: 'contact', inviter: account.address, register: config.accounts })),
      })
    host.command({
      node: `${INVITE}#create-account`,
      name: 'Invite somebody to an account',
      needs: 'invite-accounts',
      run: ({ account, domain }: CommandCall) => ({
        form: form({ title: 'Invite somebody to an account' }, [
          { name: 'username', type: 'text-single', label: 'Name, where it is not to be chosen' },
          { name: 'roster-subscription', type: 'boolean', label: 'Become your contact' },
        ]),
        next: async (filled) => {
          const name = filled.text('username')
          return told(
            await make({
              kind: 'account',
              domain,
              ...(name !== undefined && { address: `${name}@${domain}` }),
              ...(filled.flag('roster-subscription') && { inviter: account.address }),
            }),
          )
        },
      }),
    })
    host.command({
      node: `${INVITE}#password-reset`,
      name: 'Let somebody set a new password',
      needs: 'invite-accounts',
      run: () => ({
        form: form({ title: 'Let somebody set a new password' }, [
          { name: 'accountjid', type: 'jid-single', label: 'Account', required: true },
        ]),
        next: async (filled) => {
          const address = filled.text('accountjid')
          if (address === undefined) throw StanzaError.of('not-acceptable', 'name an account')
          return told(await make({ kind: 'reset', address, lifetime: undefined }))
        },
      }),
    })

    // XEP-0379 §4.4: who asks with a token of the account's is let in, and asked back. Another one may be of its client's making: it goes on as it is.
    const passing = new Set<string>()
    host.hooks.receiving.on(({ stanza, account, origin, session }) => {
      if (session !== undefined || stanza.name !== 'presence' || stanza.get('type') !== 'subscribe') return undefined
      const token = stanza.child('preauth', PARS)?.get('token')
      if (token === undefined) return undefined
      const plain = stanza.without((child) => child.is('preauth', PARS))
      const from = origin.jid.bareString
      const mark = `${from} ${account.id} ${token}`
      if (passing.has(mark)) return undefined
      return (async () => {
        const invite = await book.find(token, account.domain)
        const good = invite?.kind === 'contact' && invite.inviter === account.address
        if (good && from !== account.address)
          await book.use(invite, async () => {
            const roster = host.store.account(rosterStore, account.id)
            await roster.outbound({ contact: from, type: 'subscribed', limit: MAX_CONTACTS })
            await host.route(plain, origin)
            await roster.outbound({ contact: from, type: 'subscribe', limit: MAX_CONTACTS })
            const back = el('presence', { xmlns: NS.client, type: 'subscribe', from: account.address, to: from })
            const asker: Origin = { jid: Jid.parse(account.address), reply: () => {} }
            await host.route(back, asker)
          })
        else {
          passing.add(mark)
          await host.route(stanza, origin).finally(() => passing.delete(mark))
        }
      })()
    }, 20)
  },
})

const MAX_CONTACTS = Number.MAX_SAFE_INTEGER
