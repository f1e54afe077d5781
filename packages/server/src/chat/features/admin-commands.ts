// XEP-0133: Service Administration

import { Jid, StanzaError, StreamError } from '@aviso/xmpp'
import * as v from 'valibot'
import { AccountAdmin, type AccountRecord } from '../../accounts/administration.ts'
import { type Command, type CommandCall, finished } from '../core/commands.ts'
import { chatFeature, type Host } from '../core/contracts.ts'
import { result, type Submission, table } from '../core/forms.ts'
import { rosterStore } from '../core/roster.store.ts'
import { LISTED, subscriptionName } from '../core/subscriptions.ts'
import { ADMIN, adminCommand, ask, byAccounts, jid, needed } from './admin-forms.ts'
import { lastActivityStore } from './last-activity.store.ts'

/** How many accounts a list shows. */
const MAX_LISTED = 1000

export const adminCommands = chatFeature({
  name: 'admin-commands',
  summary: 'Lets administrators look after accounts from their chat client.',
  config: v.strictObject({}),

  attach(host, _config, scope) {
    const admin = ({ account }: CommandCall): AccountAdmin => scope.use(AccountAdmin).as(account.address)
    for (const command of [...accountCommands(host, admin), ...listCommands(host, admin)]) host.command(command)
  },
})

type Door = (call: CommandCall) => AccountAdmin

const password = (name: string, label: string) => ({ name, label, type: 'text-private' as const, required: true })
const many = [jid('accountjids', 'Accounts', true)]

/** @throws StanzaError jid-malformed */
function bareOf(text: string): string {
  const parsed = Jid.tryParse(text)
  if (parsed === undefined || parsed.local === '')
    throw StanzaError.of('jid-malformed', `${text.slice(0, 100)} is no account`)
  return parsed.bareString
}

function accountsOf(filled: Submission): readonly string[] {
  const named = [...new Set(filled.list('accountjids').map(bareOf))]
  if (named.length === 0) throw StanzaError.of('not-acceptable', 'name an account')
  return named
}

const accountCommands = (host: Host, admin: Door): readonly Command[] => {
  /** Does the same with each account that is named; the first refusal ends it. */
  const withEach = (
    node: string,
    name: string,
    done: string,
    act: (door: AccountAdmin, address: string, call: CommandCall) => Promise<void>,
  ) =>
    adminCommand(node, name, (call) =>
      ask(name, many, async (filled) => {
        const addresses = accountsOf(filled)
        for (const address of addresses) await byAccounts(act(admin(call), address, call))
        return finished(`${addresses.join(', ')}: ${done}.`)
      }),
    )
  const notOneself = ({ account }: CommandCall, address: string): void => {
    if (account.address === address) throw StanzaError.of('not-allowed', 'this is yourself')
  }
  return [
    adminCommand('add-user', 'Add an account', (call) =>
      ask(
        'Add an account',
        [
          jid('accountjid', 'Address'),
          password('password', 'Password'),
          password('password-verify', 'The password again'),
        ],
        async (filled) => {
          const address = bareOf(needed(filled, 'accountjid'))
          const secret = needed(filled, 'password')
          if (secret !== filled.text('password-verify'))
            throw StanzaError.of('not-acceptable', 'the two passwords are not the same')
          await byAccounts(admin(call).createAccount({ address, password: secret }))
          return finished(`${address} was made.`)
        },
      ),
    ),
    withEach('delete-user', 'Delete accounts', 'deleted', async (door, address, call) => {
      notOneself(call, address)
      await door.deleteAccount(address)
    }),
    withEach('disable-user', 'Disable accounts', 'disabled', async (door, address, call) => {
      notOneself(call, address)
      await door.disableAccount(address)
    }),
    withEach('reenable-user', 'Enable accounts again', 'enabled', (door, address) => door.enableAccount(address)),
    adminCommand('change-user-password', 'Change a password', (call) =>
      ask(
        'Change a password',
        [jid('accountjid', 'Account'), password('password', 'The new password')],
        async (filled) => {
          const address = bareOf(needed(filled, 'accountjid'))
          await byAccounts(admin(call).setPassword(address, needed(filled, 'password')))
          return finished(`The password of ${address} was changed.`)
        },
      ),
    ),
    adminCommand('end-user-session', 'End sessions', () =>
      ask('End sessions', [jid('accountjids', 'Accounts, or addresses of single clients', true)], (filled) => {
        let ended = 0
        for (const text of filled.list('accountjids')) {
          const parsed = Jid.tryParse(text)
          if (parsed === undefined) throw StanzaError.of('jid-malformed')
          for (const session of host.sessions(parsed.bareString)) {
            if (parsed.isFull && session.full !== parsed.toString()) continue
            session.wire.close(new StreamError('policy-violation', 'an administrator has ended this session'))
            ended++
          }
        }
        return finished(`${ended} sessions ended.`)
      }),
    ),
    adminCommand('get-user-roster', 'Show contacts', (call) =>
      ask('Show contacts', [jid('accountjid', 'Account')], async (filled) => {
        const { id, address } = await byAccounts(admin(call).showAccount(bareOf(needed(filled, 'accountjid'))))
        const { rows } = await host.store.account(rosterStore, id).load()
        const shown = rows.filter(({ state }) => state & LISTED).slice(0, MAX_LISTED)
        return finished(
          undefined,
          table(
            { title: `Contacts of ${address}`, formType: ADMIN },
            [
              { name: 'jid', label: 'Contact' },
              { name: 'name', label: 'Name' },
              { name: 'subscription', label: 'Subscription' },
              { name: 'groups', label: 'Groups' },
            ],
            shown.map(({ contact, name, state, groups }) => [
              contact,
              name,
              subscriptionName(state),
              groups.join(', '),
            ]),
          ),
        )
      }),
    ),
    adminCommand('user-stats', 'Show an account', (call) =>
      ask('Show an account', [jid('accountjid', 'Account')], async (filled) => {
        const record = await byAccounts(admin(call).showAccount(bareOf(needed(filled, 'accountjid'))))
        const { rows } = await host.store.account(rosterStore, record.id).load()
        const last = await host.store.account(lastActivityStore, record.id).get()
        const sessions = host.sessions(record.address)
        return finished(
          undefined,
          result({ title: record.address, formType: ADMIN }, [
            { name: 'accountjid', type: 'jid-single', values: [record.address] },
            { name: 'role', type: 'text-single', label: 'Role', values: [record.role] },
            { name: 'disabled', type: 'boolean', label: 'Disabled', values: [record.disabled ? '1' : '0'] },
            { name: 'created', type: 'text-single', label: 'Made', values: [new Date(record.created).toISOString()] },
            {
              name: 'lastlogin',
              type: 'text-single',
              label: 'Seen last',
              values: last === undefined ? [] : [new Date(last.at).toISOString()],
            },
            {
              name: 'rostersize',
              type: 'text-single',
              label: 'Contacts',
              values: [String(rows.filter(({ state }) => state & LISTED).length)],
            },
            {
              name: 'onlineresources',
              type: 'text-multi',
              label: 'Clients',
              values: sessions.map(({ jid: { resource } }) => resource),
            },
          ]),
        )
      }),
    ),
  ]
}

const listCommands = (host: Host, admin: Door): readonly Command[] => {
  const number = (node: string, name: string, field: string, count: (call: CommandCall) => Promise<number> | number) =>
    adminCommand(node, name, async (call) =>
      finished(
        undefined,
        result({ title: name, formType: ADMIN }, [
          { name: field, type: 'text-single', label: name, values: [String(await count(call))] },
        ]),
      ),
    )
  const list = (
    node: string,
    name: string,
    field: string,
    all: (call: CommandCall) => Promise<readonly string[]> | readonly string[],
  ) =>
    adminCommand(node, name, async (call) => {
      const jids = await all(call)
      const fields = [{ name: field, type: 'jid-multi' as const, label: name, values: jids.slice(0, MAX_LISTED) }]
      const note = jids.length > MAX_LISTED ? `${jids.length} in all; the first ${MAX_LISTED} are shown.` : undefined
      return finished(note, result({ title: name, formType: ADMIN }, fields))
    })
  const registered = async (call: CommandCall, wanted: (record: AccountRecord) => boolean): Promise<string[]> => {
    const door = admin(call)
    const found: string[] = []
    let after = ''
    for (;;) {
      const page = await byAccounts(door.listAccounts({ after }))
      for (const record of page) if (wanted(record)) found.push(record.address)
      const last = page.at(-1)
      if (last === undefined) return found
      after = last.address
    }
  }
  const online = (): string[] =>
    [...host.online()].filter(({ sessions }) => sessions.some(({ available }) => available)).map(({ bare }) => bare)
  const all = (call: CommandCall): Promise<string[]> => registered(call, () => true)
  const disabled = (call: CommandCall): Promise<string[]> => registered(call, (record) => record.disabled)
  const size = async (jids: Promise<readonly string[]>): Promise<number> => (await jids).length
  return [
    number('get-registered-users-num', 'Number of accounts', 'registeredusersnum', (call) => size(all(call))),
    number('get-disabled-users-num', 'Number of disabled accounts', 'disabledusersnum', (call) => size(disabled(call))),
    number('get-online-users-num', 'Number of accounts online', 'onlineusersnum', () => online().length),
    list('get-registered-users-list', 'Accounts', 'registereduserjids', all),
    list('get-disabled-users-list', 'Disabled accounts', 'disableduserjids', disabled),
    list('get-online-users-list', 'Accounts online', 'onlineuserjids', online),
  ]
}
