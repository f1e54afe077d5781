// M-25 AuthorizeSender: what an account may send as, beyond its own addresses.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openHouse, type Options, refusal } from '../pipeline/house.ts'

const open = (t: Parameters<typeof openHouse>[0], settings: object, tables: object) =>
  openHouse(t, { tables, config: { outgoing: { checks: { 'authorised-sender': settings } } } } as Options)

const NFD = 'ju\u0308rgen@example.org'
const NFC = 'j\u00fcrgen@example.org'

describe('M-25', () => {
  test('a table gives addresses, domains, or all', async (t) => {
    const house = await open(
      t,
      { table: 'static/senders' },
      {
        'static/senders': {
          entries: {
            'anna@example.org': ['Team@Example.ORG', 'lists.example', NFD],
            'carl@example.org': '*',
          },
        },
      },
    )
    const send = (as: string, from: string) =>
      house.submit({ as, from, to: ['ben@example.org'], message: `From: ${from}\r\n\r\nHi\r\n` })
    for (const from of [
      'anna@example.org',
      'team@example.org',
      'TEAM@example.org',
      'any@lists.example',
      NFC,
      NFD.toUpperCase(),
    ])
      await send('anna', from)
    for (const from of ['ben@example.org', 'x@sub.lists.example', 'lists.example@example.org', 'team@example.net'])
      await assert.rejects(send('anna', from), refusal(553, '5.7.1', /may not send as/), from)
    await send('carl', 'anybody@anywhere.example')
    await assert.rejects(send('ben', 'team@example.org'), refusal(553, '5.7.1'))
  })

  test('the From field is judged by the same table', async (t) => {
    const house = await open(
      t,
      { table: 'static/senders' },
      {
        'static/senders': { entries: { 'anna@example.org': 'team@example.org' } },
      },
    )
    const send = (from: string) =>
      house.submit({ as: 'anna', to: ['ben@example.org'], message: `From: ${from}\r\n\r\nHi\r\n` })
    await send('Team@example.org')
    await assert.rejects(send('ben@example.org'), refusal(550, '5.7.1', /may not write as/))
  })

  test('a table prepares what is compared: an alias stands for its account', async (t) => {
    const house = await open(
      t,
      { prepare: 'static/aliases' },
      {
        'static/aliases': {
          entries: {
            'sales@example.org': ['ben@example.org', 'anna@example.org'],
            'boss@example.org': 'carl@example.org',
          },
        },
      },
    )
    const send = (from: string) =>
      house.submit({ as: 'anna', from, to: ['ben@example.org'], message: `From: ${from}\r\n\r\nHi\r\n` })
    await send('anna@example.org')
    await send('Sales@example.org')
    await assert.rejects(send('boss@example.org'), refusal(553, '5.7.1'))
  })

  test('a table that fails is 451, never a pass; the action may be another', async (t) => {
    const broken = await open(t, { table: 'sql-query' }, { 'sql-query': { path: '/nowhere/x.db', lookup: 'SELECT ?' } })
    await assert.rejects(
      broken.submit({ as: 'anna', from: 'ben@example.org', to: ['ben@example.org'] }),
      refusal(451, '4.7.1'),
    )
    const lax = await open(t, { mismatch: 'quarantine' }, {})
    await lax.submit({ as: 'anna', from: 'ben@example.org', to: ['ben@example.org'] })
    assert.equal((await lax.mails('ben', 'Junk')).length, 1)
  })
})
