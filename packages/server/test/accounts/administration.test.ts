// Making, changing and erasing accounts, domains and aliases.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AccountError } from '../../src/accounts/errors.ts'
import type { Account, AccountChange } from '../../src/accounts/contracts.ts'
import { annasHouse, login, openHouse } from './house.ts'

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AccountError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

test('an account is made in every room, in one step', async (t) => {
  const house = await openHouse(t)
  const made: string[] = []
  for (const name of ['mailbox', 'roster'])
    house.rooms.register({ name, create: async (account) => void made.push(`${name} ${account.address}`) })
  const changes: AccountChange[] = []
  house.accounts.watch((change) => changes.push(change))
  await house.admin.addDomain('Example.ORG.')
  const account = await house.admin.createAccount({ address: 'Anna@EXAMPLE.org', password: 'annas secret' })
  assert.match(account.id, /^[a-z0-9]{1,32}$/)
  assert.deepEqual(made, ['mailbox anna@example.org', 'roster anna@example.org'])
  assert.deepEqual(await house.accounts.byAddress('ANNA@example.org'), {
    id: account.id,
    address: 'anna@example.org',
    local: 'anna',
    domain: 'example.org',
    role: 'user',
    disabled: false,
  })
  assert.equal((await house.accounts.byId(account.id))?.address, 'anna@example.org')
  assert.deepEqual((await house.admin.showAccount('anna@example.org')).forms, [
    'SCRAM-SHA-1',
    'SCRAM-SHA-256',
    'argon2id',
  ])
  assert.deepEqual(
    changes.map(({ kind }) => kind),
    ['domains', 'created'],
  )
})

test('who is known by his id is known as he is now', async (t) => {
  const house = await openHouse(t)
  await house.admin.addDomain('example.org')
  const { id } = await house.admin.createAccount({ address: 'anna@example.org', password: 'annas secret' })
  const state = async (): Promise<unknown> => {
    const account = await house.accounts.byId(id)
    return account && [account.role, account.disabled]
  }
  assert.deepEqual(await state(), ['user', false])
  await house.admin.disableAccount('anna@example.org')
  assert.deepEqual(await state(), ['user', true])
  await house.admin.enableAccount('anna@example.org')
  assert.deepEqual(await state(), ['user', false])
  await house.admin.deleteAccount('anna@example.org')
  assert.equal(await state(), undefined)
})

test('a room that fails takes the whole account back', async (t) => {
  const house = await openHouse(t)
  await house.admin.addDomain('example.org')
  const erased: string[] = []
  house.rooms.register({
    name: 'mailbox',
    create: async () => {},
    erase: async (account: Account) => void erased.push(account.address),
  })
  const stop = house.rooms.register({ name: 'roster', create: () => Promise.reject(new Error('the disk is full')) })
  const request = { address: 'anna@example.org', password: 'annas secret' }
  await assert.rejects(
    house.admin.createAccount(request),
    failsWith('unavailable', /roster: the disk is full; nothing was changed/),
  )
  assert.deepEqual(erased, ['anna@example.org'])
  assert.deepEqual(await house.admin.listAccounts(), [])
  assert.equal(await house.accounts.byAddress('anna@example.org'), undefined)
  stop()
  await house.admin.createAccount(request)
})

test('what a crash left half made or half erased goes at the next start', async (t) => {
  const house = await annasHouse(t)
  await house.rows.reserve([{ id: 'half', local: 'half', domain: 'example.org', role: 'user', credentials: {} }])
  const stop = house.rooms.register({
    name: 'mailbox',
    create: async () => {},
    erase: () => Promise.reject(new Error('busy')),
  })
  await assert.rejects(
    house.admin.deleteAccount('ben@example.org'),
    failsWith('unavailable', /closed, but not all of it could be erased/),
  )
  assert.equal(await house.accounts.byAddress('ben@example.org'), undefined)
  await assert.rejects(
    house.admin.createAccount({ address: 'half@example.org', password: 'long enough' }),
    failsWith('in-use', /being created just now/),
  )
  // As long as the room resists, the server starts all the same.
  assert.equal(await house.admin.recover(), 0)
  stop()
  assert.equal(await house.admin.recover(), 2)
  assert.equal(await house.admin.recover(), 0)
  await house.admin.createAccount({ address: 'half@example.org', password: 'long enough' })
})

test('a deleted account is gone, its id never comes back, its address may', async (t) => {
  const house = await annasHouse(t)
  const before = await house.admin.showAccount('ben@example.org')
  await house.admin.addAlias('sales@example.org', ['ben@example.org', 'anna@example.org'])
  await house.admin.deleteAccount('ben@example.org')
  assert.deepEqual(await house.accounts.resolve('ben@example.org'), { kind: 'unknown' })
  assert.deepEqual(await house.admin.listAliases(), [{ address: 'sales@example.org', targets: ['anna@example.org'] }])
  assert.equal((await login(house, 'PLAIN', { authcid: 'ben', password: 'bens secret' })).end.kind, 'failure')
  const [refusal] = await house.rows.reserve([
    { id: before.id, local: 'x', domain: 'example.org', role: 'user', credentials: {} },
  ])
  assert.match(refusal?.message ?? '', /was used before/)
  const again = await house.admin.createAccount({ address: 'ben@example.org', password: 'bens secret' })
  assert.notEqual(again.id, before.id)
})

test('errors say what is wrong and what to do', async (t) => {
  const house = await annasHouse(t)
  const { admin } = house
  const create = (address: string, password = 'long enough'): Promise<unknown> =>
    admin.createAccount({ address, password })
  await admin.addAlias('info@example.org', ['anna@example.org'])
  const cases: readonly (readonly [() => Promise<unknown>, string, RegExp])[] = [
    [() => create('anna@example.org'), 'exists', /anna@example.org exists already/],
    [() => create('info@example.org'), 'exists', /is an alias: remove it first with 'aviso alias remove/],
    [() => create('x@example.net'), 'not-found', /add it first with 'aviso domain add example.net'/],
    [() => create('anna'), 'invalid', /write it as name@example.org/],
    [() => create('anna@[192.0.2.1]'), 'invalid', /not a mail address/],
    [() => create('"anna b"@example.org'), 'invalid', /a mail and a chat address at once, and may hold no spaces/],
    [() => create("o'hara@example.org"), 'invalid', /may hold no '/],
    [() => create('a&b@example.org'), 'invalid', /may hold no &/],
    [() => create('a/b@example.org'), 'invalid', /may hold no \//],
    [() => create('*@example.org'), 'invalid', /may hold no \*/],
    [() => create('"a..b"@example.org'), 'invalid', /dots at its ends or in a row/],
    [() => create('ａｎｎａ@example.org'), 'invalid', /use 'anna' instead/],
    [() => create('new@example.org', 'short'), 'invalid', /needs 8 characters at least/],
    [() => create('new@example.org', 'x'.repeat(2000)), 'invalid', /too long/],
    [() => create('new@example.org', 'with\0nul and more'), 'invalid', /cannot be sent/],
    [() => admin.showAccount('nobody@example.org'), 'not-found', /'aviso account list' shows/],
    [() => admin.setPassword('nobody@example.org', 'long enough'), 'not-found', /no account nobody@example.org/],
    [() => admin.deleteAccount('nobody@example.org'), 'not-found', /no account/],
    [() => admin.addDomain('example.org'), 'exists', /already/],
    [() => admin.addDomain('exa mple'), 'invalid', /not a domain name/],
    [() => admin.removeDomain('example.net'), 'not-found', /not a domain of this server/],
    [() => admin.removeDomain('example.org'), 'in-use', /2 accounts and 1 alias: delete them first/],
    [() => admin.addAlias('anna@example.org', ['ben@example.org']), 'exists', /is an account/],
    [() => admin.addAlias('x@example.org', []), 'invalid', /name at least one/],
    [() => admin.addAlias('x@example.org', ['nobody@example.org']), 'not-found', /neither an account nor an alias/],
    [() => admin.addAlias('x@example.net', ['anna@example.org']), 'not-found', /aviso domain add/],
    [() => admin.addAlias('x@example.org', ['x@example.org']), 'invalid', /round in circles/],
    [() => admin.removeAlias('nothing@example.org'), 'not-found', /aviso alias list/],
    [() => admin.removeAlias('info@example.org', ['ben@example.org']), 'not-found', /does not lead to ben/],
  ]
  for (const [run, code, message] of cases) await assert.rejects(run, failsWith(code, message), String(message))
})

test('a database that fails is "unavailable", and no defect is hidden behind a code', async (t) => {
  const house = await annasHouse(t)
  house.breakNext('reserve')
  await assert.rejects(
    house.admin.createAccount({ address: 'new@example.org', password: 'long enough' }),
    /the disk has gone/,
  )
})

test('every change is written down with who made it; old rows are swept', async (t) => {
  const house = await annasHouse(t)
  const cli = house.admin.as('cli:root')
  await cli.setPassword('ben@example.org', 'new secret')
  await cli.setRole('ben@example.org', 'admin')
  house.clock.turn(1000)
  await cli.disableAccount('ben@example.org')
  await cli.disableAccount('ben@example.org')
  const rows = await house.admin.audit(undefined, 3)
  assert.deepEqual(
    rows.map(({ by, action, subject, detail }) => `${by}: ${action} ${subject} ${detail}`.trim()),
    [
      'cli:root: account disabled ben@example.org',
      'cli:root: role set ben@example.org user to admin',
      'cli:root: password set ben@example.org',
    ],
  )
  assert.equal((await house.admin.audit(rows[2]?.sequence)).length, 3)
  assert.equal(await house.rows.sweepAudit({ before: house.clock.now(), keep: 1000 }), 5)
  assert.equal(await house.rows.sweepAudit({ before: 0, keep: 0 }), 0)
  assert.equal((await house.admin.audit()).length, 1)
})

test('thousands of accounts come in batches; a bad row does not stop the others', async (t) => {
  const house = await annasHouse(t)
  const rows = [
    ...Array.from({ length: 40 }, (_, i) => ({ address: `user${i}@example.org`, password: `password ${i}` })),
    { address: 'user7@example.org', password: 'password again' },
    { address: 'not an address', password: 'long enough' },
    { address: 'boss@example.org', password: 'long enough', role: 'admin' as const },
  ]
  const made: string[] = []
  house.rooms.register({
    name: 'mailbox',
    create: (account) => {
      made.push(account.local)
      return account.local === 'user3' ? Promise.reject(new Error('no room')) : Promise.resolve()
    },
  })
  const steps: string[] = []
  const report = await house.admin.importAccounts(rows, {
    batch: 16,
    progress: (created, failed) => void steps.push(`${created}/${failed}`),
  })
  assert.equal(report.created, 40)
  assert.deepEqual(
    report.failed.map(({ row, code }) => `${row} ${code}`),
    ['4 unavailable', '41 exists', '42 invalid'],
  )
  assert.deepEqual(steps, ['15/1', '31/1', '40/3'])
  assert.equal(made.length, 41)
  assert.equal((await house.admin.listAccounts({ domain: 'example.org' })).length, 42)
  assert.deepEqual(
    (await house.admin.listAccounts({ after: 'user8@example.org', limit: 1 })).map(({ local }) => local),
    ['user9'],
  )
  assert.equal((await login(house, 'SCRAM-SHA-1', { authcid: 'user39', password: 'password 39' })).end.kind, 'success')
})
