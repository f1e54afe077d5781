// What an address means here, and who may write in its name.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { array, assert as check, constantFrom, property } from 'fast-check'
import { canonical } from '../../src/accounts/address.ts'
import { annasHouse, openHouse, type House } from './house.ts'

const meaning = async (house: House, address: string): Promise<string> => {
  const resolution = await house.accounts.resolve(address)
  if (resolution.kind !== 'local') return resolution.kind
  return [...resolution.accounts.map(({ local }) => local), ...resolution.forwards].join(' ')
}

test('addresses and what they mean', async (t) => {
  const house = await annasHouse(t)
  const { admin } = house
  await admin.addDomain('bücher.example')
  await admin.createAccount({ address: 'jörg@bücher.example', password: 'jörgs secret' })
  await admin.addAlias('sales@example.org', ['ben@example.org', 'Carla@Elsewhere.example'])
  await admin.addAlias('team@example.org', ['sales@example.org', 'anna+team@example.org'])
  await admin.addAlias('ben+secret@example.org', ['anna@example.org'])
  const cases: readonly (readonly [string, string])[] = [
    ['anna@example.org', 'anna'],
    ['ANNA@EXAMPLE.ORG', 'anna'],
    ['anna+lists@example.org', 'anna'],
    ['"anna"@example.org', 'anna'],
    ['ben+secret@example.org', 'anna'],
    ['sales@example.org', 'ben Carla@elsewhere.example'],
    ['sales+autumn@example.org', 'ben Carla@elsewhere.example'],
    ['team@example.org', 'anna ben Carla@elsewhere.example'],
    ['jörg@bücher.example', 'jörg'],
    ['JÖRG@xn--bcher-kva.example', 'jörg'],
    ['jo\u0308rg@bücher.example', 'jörg'],
    ['nobody@example.org', 'unknown'],
    ['+anna@example.org', 'unknown'],
    ['anna@elsewhere.example', 'foreign'],
    ['anna@[192.0.2.1]', 'foreign'],
    ['not an address', 'unknown'],
    ['postmaster@example.org', 'anna'],
    ['Abuse@example.org', 'anna'],
    ['postmaster@bücher.example', 'anna'],
  ]
  // Twice: the second time many answers come from memory.
  for (const round of [1, 2])
    for (const [address, expected] of cases)
      assert.equal(await meaning(house, address), expected, `${address} ${round}`)
  await admin.addAlias('postmaster@example.org', ['ben@example.org'])
  assert.equal(await meaning(house, 'postmaster@example.org'), 'ben')
  await admin.addAlias('*@example.org', ['ben@example.org'])
  assert.equal(await meaning(house, 'nobody@example.org'), 'ben')
  assert.equal(await meaning(house, 'anna@example.org'), 'anna')
  assert.equal(await meaning(house, 'abuse@example.org'), 'anna')
  await admin.removeAlias('*@example.org')
  // A target's domain that becomes ours: its case, kept until then, no longer matters.
  await admin.addDomain('elsewhere.example')
  await admin.createAccount({ address: 'carla@elsewhere.example', password: 'carlas secret' })
  assert.equal(await meaning(house, 'sales@example.org'), 'carla ben')
  assert.equal(await meaning(house, 'nobody@example.org'), 'unknown')
})

test('who may send as whom', async (t) => {
  const house = await annasHouse(t)
  await house.admin.addAlias('info@example.org', ['anna@example.org'])
  await house.admin.addAlias('both@example.org', ['anna@example.org', 'ben@example.org'])
  await house.admin.addAlias('away@example.org', ['anna@example.org', 'anna@elsewhere.example'])
  const anna = await house.accounts.byAddress('anna@example.org')
  assert.ok(anna)
  const cases: readonly (readonly [string, boolean])[] = [
    ['anna@example.org', true],
    ['Anna@Example.Org', true],
    ['anna+shop@example.org', true],
    ['info@example.org', true],
    ['postmaster@example.org', true],
    ['both@example.org', false],
    ['away@example.org', false],
    ['ben@example.org', false],
    ['nobody@example.org', false],
    ['anna@elsewhere.example', false],
    ['', false],
  ]
  for (const [address, expected] of cases)
    assert.equal(await house.accounts.maySendAs(anna, address), expected, address)
  assert.equal(await house.accounts.maySendAs({ ...anna, disabled: true }, 'anna@example.org'), false)
})

test('aliases cannot go in circles, too deep, or too wide', async (t) => {
  const house = await annasHouse(t)
  const { admin } = house
  await admin.addAlias('a0@example.org', ['anna@example.org'])
  for (let i = 1; i < 10; i++) await admin.addAlias(`a${i}@example.org`, [`a${i - 1}@example.org`])
  await assert.rejects(admin.addAlias('a10@example.org', ['a9@example.org']), { code: 'limit' })
  await assert.rejects(admin.addAlias('a0@example.org', ['a9@example.org']), { code: 'invalid' })
  // The limit holds for those above as well.
  await admin.addAlias('base@example.org', ['anna@example.org'])
  await assert.rejects(admin.addAlias('a0@example.org', ['base@example.org']), { code: 'limit' })
  assert.equal(await meaning(house, 'a9@example.org'), 'anna')
  await assert.rejects(admin.removeAlias('a3@example.org'), { code: 'in-use' })
  const many = Array.from({ length: 600 }, (_, i) => `x${i}@elsewhere.example`)
  await admin.addAlias('list1@example.org', many)
  await admin.addAlias(
    'list2@example.org',
    many.map((address) => `y${address}`),
  )
  await assert.rejects(admin.addAlias('all@example.org', ['list1@example.org', 'list2@example.org']), { code: 'limit' })
  assert.equal(await meaning(house, 'all@example.org'), 'unknown')
})

test('domains are known at once, also when they go', async (t) => {
  const house = await openHouse(t)
  assert.deepEqual(house.accounts.domains(), [])
  assert.equal(await house.admin.addDomain('Bücher.example'), 'xn--bcher-kva.example')
  await house.admin.addDomain('example.org')
  assert.deepEqual(house.accounts.domains(), ['xn--bcher-kva.example', 'example.org'])
  assert.ok(house.accounts.isLocal('example.org'))
  await house.admin.removeDomain('bücher.example')
  assert.deepEqual(house.accounts.domains(), ['example.org'])
  assert.deepEqual(
    (await house.admin.listDomains()).map(({ name, accounts, aliases }) => ({ name, accounts, aliases })),
    [{ name: 'example.org', accounts: 0, aliases: 0 }],
  )
})

test('an answer that cannot be had is an error, not "unknown"', async (t) => {
  const house = await annasHouse(t)
  house.breakNext('expand')
  await assert.rejects(house.accounts.resolve('anna@example.org'))
  assert.equal(await meaning(house, 'anna@example.org'), 'anna')
})

test('the one spelling of an address is the spelling of itself, short cut or not', () => {
  const letters = constantFrom('a', 'B', '1', '.', '-', '_', '+', '@', 'ö', ' ', '"', '[', 'xn--', 'İ', 'ß')
  check(
    property(
      array(letters, { maxLength: 24 }).map((parts) => parts.join('')),
      (text) => {
        const once = canonical(text)
        if (once !== undefined) assert.equal(canonical(once), once)
      },
    ),
    { numRuns: 2000 },
  )
  for (const text of ['a@b.', 'a@b..c', 'a@1.2', 'a@-b', 'a@b-', 'a@xn--0', 'a@b.c-', 'a@b-.c']) {
    const once = canonical(text)
    assert.ok(once === undefined || once === canonical(once.toUpperCase()), text)
  }
})
