// XEP-0077: In-Band Registration, with XEP-0445: Pre-Authenticated In-Band Registration

import { type Element, el, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import { AccountAdmin, type AccountRecord } from '../../accounts/administration.ts'
import { duration } from '../../kernel/units.ts'
import { createLimits } from '../../net/limits.ts'
import { chatFeature, type Stranger } from '../core/contracts.ts'
import { form, Submission } from '../core/forms.ts'
import type { Invite } from '../invites/invites.store.ts'
import { Invites } from '../invites/invites.ts'
import { REGISTER } from './account-management.ts'
import { byAccounts } from './admin-forms.ts'
import { PARS } from './invites.ts'

const count = (text: string, fallback: number) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.description(text)), fallback)

export const registration = chatFeature({
  name: 'registration',
  summary: 'Lets people make accounts with their chat client.',
  config: v.strictObject({
    open: v.optional(v.pipe(v.boolean(), v.description('anybody may make an account')), false),
    invited: v.optional(v.pipe(v.boolean(), v.description('who has an invitation may make an account')), true),
    role: v.optional(
      v.pipe(v.string(), v.description('the role of accounts that are made without an invitation')),
      'user',
    ),
    'per-address': count('how many accounts may be made from one address in the time of `window`', 3),
    total: count('how many accounts may be made from anywhere in that time', 100),
    attempts: count('how many times one address may try in that time, in vain or not', 30),
    window: v.pipe(duration('1h'), v.description('the time that the limits count for')),
    title: v.optional(v.pipe(v.string(), v.description('what the form is called')), 'A new account'),
    instructions: v.optional(v.pipe(v.string(), v.description('what the form says')), 'Choose a name and a password.'),
  }),

  attach(host, config, scope) {
    if (!config.open && !config.invited) return
    host.accounts.roles.mustBeHarmless(config.role)
    const book = new Invites(host.store, host.accounts, scope.clock, scope.random)
    const per = config.window
    const limits = createLimits(scope.clock, {
      made: { rate: config['per-address'], per },
      total: { rate: config.total, per },
      tried: { rate: config.attempts, per },
    })
    const made = scope.metrics.counter('aviso_chat_registrations', 'Accounts made by chat clients, by way', ['way'])
    /** The invitation that a stream has shown. */
    const shown = new WeakMap<object, Invite>()

    if (config.open)
      host.streamFeature(({ authenticated }) =>
        authenticated ? undefined : el('register', { xmlns: 'http://jabber.org/features/iq-register' }),
      )
    if (config.invited)
      host.streamFeature(({ authenticated }) =>
        authenticated ? undefined : el('register', { xmlns: 'urn:xmpp:ibr-token:0' }),
      )

    const mayTry = ({ remoteAddress }: Stranger): void => {
      if (!limits.take('tried', remoteAddress)) throw StanzaError.of('resource-constraint', 'try again later')
    }

    if (config.invited)
      host.early(PARS, 'preauth', async (payload, stranger, type) => {
        if (type !== 'set') throw StanzaError.of('bad-request')
        mayTry(stranger)
        const invite = await book.find(payload.get('token') ?? '', stranger.host)
        if (invite === undefined || (invite.kind !== 'reset' && !invite.register))
          throw StanzaError.of('item-not-found', 'this invitation is not good, or not any more')
        shown.set(stranger.stream, invite)
        return undefined
      })

    /** Counts an account that is about to be made. */
    const takePlace = ({ remoteAddress }: Stranger): void => {
      if (!limits.take('made', remoteAddress) || !limits.take('total', ''))
        throw StanzaError.of('resource-constraint', 'too many accounts were made; try again later')
    }
    /** It was not made after all. */
    const givePlaceBack = ({ remoteAddress }: Stranger): void => {
      limits.take('made', remoteAddress, -1)
      limits.take('total', '', -1)
    }

    const allowed = ({ stream }: Stranger): Invite | undefined => {
      const invite = shown.get(stream)
      if (invite === undefined && !config.open) throw StanzaError.of('not-allowed', 'an invitation is needed')
      return invite
    }

    host.early(REGISTER, 'query', async (payload, stranger, type) => {
      const invite = allowed(stranger)
      if (type === 'get') return questions(config, invite)
      mayTry(stranger)
      const { username, password } = answersOf(payload)
      const address = `${username}@${stranger.host}`
      if (invite !== undefined && invite.address !== '' && invite.address !== address)
        throw StanzaError.of('not-acceptable', `the invitation is for ${invite.address}`)
      const door = scope.use(AccountAdmin).as(`registration from ${stranger.remoteAddress}`)
      if (invite?.kind === 'reset') {
        await used(book.use(invite, async () => (await byAccounts(door.setPassword(address, password)), true)))
        made.inc({ way: 'reset' })
        return undefined
      }
      takePlace(stranger)
      const role = invite?.role ?? config.role
      const create = async () =>
        byAccounts(door.createAccount({ address, password, role, chosen: invite?.address !== address }))
      let account: AccountRecord
      try {
        account = await (invite === undefined ? create() : used(book.use(invite, create)))
      } catch (error) {
        givePlaceBack(stranger)
        throw error
      }
      if (invite !== undefined) await book.introduce(invite, account.address)
      made.inc({ way: invite === undefined ? 'open' : 'invited' })
      scope.log.info({ account: address, session: stranger.id, remoteAddress: stranger.remoteAddress }, 'registered')
      return undefined
    })
  },
})

async function used<T>(call: Promise<T | undefined>): Promise<T> {
  const answer = await call
  if (answer === undefined) throw StanzaError.of('not-allowed', 'this invitation was used already')
  return answer
}

/** §3.1: the fields, and for newer clients the same as a form (§4). */
function questions(
  { title, instructions }: { readonly title: string; readonly instructions: string },
  invite: Invite | undefined,
): Element {
  const name =
    invite === undefined || invite.address === '' ? '' : invite.address.slice(0, invite.address.lastIndexOf('@'))
  return el(
    'query',
    { xmlns: REGISTER },
    el('instructions', {}, instructions),
    el('username', {}, name),
    el('password'),
    form({ title, instructions, formType: REGISTER }, [
      { name: 'username', type: 'text-single', label: 'Name', required: true, ...(name !== '' && { values: [name] }) },
      { name: 'password', type: 'text-private', label: 'Password', required: true },
    ]),
  )
}

function answersOf(payload: Element): { readonly username: string; readonly password: string } {
  const filled = Submission.of(payload)
  const username = filled?.text('username') ?? payload.childText('username') ?? ''
  const password = filled?.text('password') ?? payload.childText('password') ?? ''
  if (username === '' || password === '') throw StanzaError.of('not-acceptable', 'a name and a password are needed')
  // The name alone: the domain is the one that the stream is for.
  if (username.includes('@')) throw StanzaError.of('not-acceptable', 'the name goes without the domain')
  return { username, password }
}
