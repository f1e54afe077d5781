// Roles of the config, and what their accounts may do.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { authConfig } from '../../src/accounts/config.ts'
import { Roles } from '../../src/accounts/roles.ts'
import { validate } from '../../src/kernel/config/validate.ts'
import { annasHouse, cheap } from './house.ts'

const rolesOf = (roles: object): Roles => new Roles(v.parse(authConfig, { roles }).roles)

test('what the roles that there are may do', () => {
  const roles = rolesOf({})
  assert.deepEqual(roles.assignable, ['limited', 'user', 'admin'])
  const may = (permission: Parameters<Roles['may']>[1]): string[] =>
    ['guest', ...roles.assignable].filter((role) => roles.may(role, permission))
  assert.deepEqual(may('administer'), ['admin'])
  assert.deepEqual(may('invite-contacts'), ['user', 'admin'])
  assert.deepEqual(may('mail-elsewhere'), ['user', 'admin'])
  assert.deepEqual(may('chat-elsewhere'), ['limited', 'user', 'admin'])
  assert.deepEqual(may('manage-own'), ['guest', 'limited', 'user', 'admin'])
})

test('a role inherits, allows and denies; what is nearer goes before', () => {
  const roles = rolesOf({
    moderator: { allow: ['administer-rooms'], deny: ['mail-elsewhere'] },
    chief: { inherits: 'moderator', allow: ['mail-elsewhere'] },
    limited: { deny: ['chat-elsewhere'], allow: ['upload-files'] },
    both: { allow: ['administer'], deny: ['administer'] },
  })
  assert.deepEqual(roles.assignable, ['limited', 'user', 'admin', 'moderator', 'chief', 'both'])
  assert.equal(roles.may('moderator', 'administer-rooms'), true)
  assert.equal(roles.may('moderator', 'mail-elsewhere'), false)
  assert.equal(roles.may('moderator', 'invite-contacts'), true, 'as user')
  assert.equal(roles.may('chief', 'mail-elsewhere'), true)
  assert.equal(roles.may('chief', 'administer-rooms'), true)
  assert.equal(roles.may('limited', 'chat-elsewhere'), false)
  assert.equal(roles.may('limited', 'upload-files'), true)
  assert.equal(roles.may('limited', 'create-rooms'), true, 'what is not named stays')
  assert.equal(roles.may('user', 'chat-elsewhere'), true, 'nor is it a matter of the others')
  assert.equal(roles.may('both', 'administer'), false, 'in doubt it is denied')
})

test('a command by its node goes before what commands need otherwise', () => {
  const roles = rolesOf({
    helpdesk: { allow: ['command:http://jabber.org/protocol/admin#change-user-password'] },
    admin: { deny: ['command:http://jabber.org/protocol/admin#delete-user'] },
  })
  const node = 'http://jabber.org/protocol/admin#'
  assert.equal(roles.may('helpdesk', `command:${node}change-user-password`, 'administer'), true)
  assert.equal(roles.may('helpdesk', `command:${node}delete-user`, 'administer'), false)
  assert.equal(roles.may('admin', `command:${node}delete-user`, 'administer'), false)
  assert.equal(roles.may('admin', `command:${node}add-user`, 'administer'), true)
})

test('a role that the config does not name any more may do what a guest may', () => {
  assert.equal(rolesOf({}).may('moderator', 'chat-elsewhere'), false)
  assert.equal(rolesOf({}).may('moderator', 'manage-own'), true)
})

test('mistakes are told', () => {
  const problems = (roles: object): string[] =>
    (validate(authConfig, { roles }).problems ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
  assert.deepEqual(problems({ helper: { inherits: 'user', allow: ['invite-accounts', 'command:x'] } }), [])
  assert.match(problems({ helper: { allow: ['adminster'] } })[0] ?? '', /helper\.allow\.0: .*did you mean 'administer'/)
  assert.match(
    problems({ helper: { inherits: 'usr' } })[0] ?? '',
    /roles\.helper: there is no role 'usr'; did you mean 'user'/,
  )
  assert.match(problems({ user: { inherits: 'admin' } })[0] ?? '', /cannot be changed/)
  assert.match(problems({ helper: { inherits: 'guest' } })[0] ?? '', /cannot be guests/)
  assert.match(problems({ a: { inherits: 'b' }, b: { inherits: 'a' } })[0] ?? '', /a inherits itself/)
  assert.match(problems({ a: { inherits: 'a' } })[0] ?? '', /a inherits itself/)
  assert.notDeepEqual(problems({ 'A b': {} }), [])
})

test('accounts have roles of the config, and follow it', async (t) => {
  const house = await annasHouse(t, { ...cheap, roles: { helper: { allow: ['invite-accounts'] } } })
  const dora = await house.admin.createAccount({
    address: 'dora@example.org',
    password: 'doras secret',
    role: 'helper',
  })
  assert.equal(house.accounts.may(dora, 'invite-accounts'), true)
  assert.equal(house.accounts.may({ ...dora, disabled: true }, 'invite-accounts'), false)
  await assert.rejects(house.admin.setRole('ben@example.org', 'helpr'), /not a role: use limited, user, admin, helper/)
  await assert.rejects(house.admin.setRole('ben@example.org', 'guest'), /not a role/)
  await house.admin.setRole('ben@example.org', 'helper')
  const ben = await house.accounts.byAddress('ben@example.org')
  assert.equal(ben?.role, 'helper')
  assert.deepEqual(
    house.admin
      .listRoles()
      .find(({ role }) => role === 'helper')
      ?.may.filter((one) => one.startsWith('invite')),
    ['invite-accounts', 'invite-contacts'],
  )
  // The next config knows of no such role.
  const { accounts } = await house.again(cheap)
  assert.equal(accounts.may(dora, 'invite-accounts'), false)
  assert.equal(accounts.may(dora, 'chat-elsewhere'), false)
})
