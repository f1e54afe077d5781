// How much mail may come, as those who send it see it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MailAddress } from '@aviso/mime'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { type House, MESSAGE, openHouse, type Options, refusal } from './house.ts'

const busy = refusal(451, '4.4.5', /try again later/)
const PARAMETERS = { body: '7BIT', smtpUtf8: false, requireTls: false } as const

const limited = (limits: object, more: Options = {}): Options =>
  ({ ...more, config: { incoming: { limits }, outgoing: { limits } } }) as Options

const begin = (house: House, remoteAddress = '192.0.2.7', sender: MailAddress | null = null) =>
  house.incoming.begin(house.client({ remoteAddress }), sender, PARAMETERS)

const turned = async <T>(house: House, promise: Promise<T>): Promise<T> => {
  const outcome = promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  await house.pass(5000)
  const settled = await outcome
  if ('error' in settled) throw settled.error
  return settled.value
}

describe('limits of a pipeline', () => {
  test('M-08 Concurrency all=1: the second MAIL is 451 after the wait; it works again after the first ended, however it ended', async (t) => {
    const house = await openHouse(t, limited({ all: { concurrency: 1 } }))
    const to = MailAddress.of('anna', 'example.org')
    assert.ok(to)
    const endings: readonly ((passage: Awaited<ReturnType<typeof begin>>) => unknown)[] = [
      (passage) => passage.abort(),
      (passage) => passage.recipient(to, {}).then(() => passage.data(Message.of(Buffer.from(MESSAGE)))),
      (passage) =>
        passage
          .recipient(to, {})
          .then(() => passage.data(Message.of(Buffer.from('Received: x\r\n'.repeat(60)))))
          .catch(() => {}),
    ]
    for (const end of endings) {
      const first = await begin(house)
      await assert.rejects(turned(house, begin(house)), busy)
      await end(first)
    }
    await house.receive({ to: ['anna@example.org'] })
  })

  test('a sender that a check refuses gives its place back', async (t) => {
    const house = await openHouse(t, limited({ all: { concurrency: 1 } }))
    for (let i = 0; i < 3; i++)
      await assert.rejects(house.receive({ to: [], client: { hello: 'mail.example.org' } }), refusal(550, '5.7.1'))
    await house.receive({ to: ['anna@example.org'] })
  })

  test('M-09 Concurrency ip=1: another address is not concerned; one IPv6 /64 is one', async (t) => {
    const house = await openHouse(t, limited({ ip: { concurrency: 1 } }))
    await begin(house, '192.0.2.7')
    await begin(house, '192.0.2.8')
    await begin(house, '2001:db8::1')
    await assert.rejects(turned(house, begin(house, '2001:db8::2')), busy)
    await begin(house, '')
  })

  test('M-33 Rate limits: by network, sender domain and account, each by itself', async (t) => {
    const rate = { rate: 2, per: '1h' }
    const house = await openHouse(t, limited({ network: rate }))
    await house.receive({ to: ['anna@example.org'], client: { remoteAddress: '192.0.2.7' } })
    await house.receive({ to: ['anna@example.org'], client: { remoteAddress: '192.0.2.8' } })
    await assert.rejects(house.receive({ to: ['anna@example.org'], client: { remoteAddress: '192.0.2.9' } }), busy)
    await house.receive({ to: ['anna@example.org'], client: { remoteAddress: '192.0.3.9' } })
    const domains = await openHouse(t, limited({ 'sender-domain': rate }))
    for (const from of ['a@example.net', 'b@example.net', 'a@example.com', '', ''])
      await domains.receive({ to: ['anna@example.org'], from })
    await assert.rejects(domains.receive({ to: ['anna@example.org'], from: 'c@example.net' }), busy)
    await assert.rejects(domains.receive({ to: ['anna@example.org'], from: '' }), busy)
    const accounts = await openHouse(t, limited({ account: rate }))
    for (const as of ['anna', 'anna', 'ben']) await accounts.submit({ as, to: ['carl@example.org'] })
    await assert.rejects(accounts.submit({ as: 'anna', to: ['carl@example.org'] }), busy)
    accounts.clock.turn(1_800_000)
    await accounts.submit({ as: 'anna', to: ['carl@example.org'] })
  })

  test('a scope that is limited alone sends some away, and goes on for all others', async (t) => {
    for (const scope of ['all', 'ip', 'network', 'sender', 'sender-domain', 'account'] as const) {
      const house = await openHouse(t, limited({ [scope]: { concurrency: 1 } }))
      const bo = MailAddress.of('bo', 'example.net') ?? assert.fail()
      const account = house.fake.list.get('anna@example.org')
      const enter = () => house.incoming.begin(house.client({ account }), bo, PARAMETERS)
      for (let round = 0; round < 2; round++) {
        const first = await turned(house, enter())
        await assert.rejects(turned(house, enter()), busy, scope)
        first.abort()
      }
      ;(await turned(house, enter())).abort()
    }
  })

  test('bandwidth: after a large mail the next one waits', async (t) => {
    const house = await openHouse(t, limited({ ip: { bandwidth: '1KiB' } }))
    await house.receive({ to: ['anna@example.org'], message: `From: a@b.example\r\n\r\n${'x'.repeat(20_000)}\r\n` })
    await assert.rejects(house.receive({ to: ['anna@example.org'] }), busy)
    house.clock.turn(20_000)
    await house.receive({ to: ['anna@example.org'] })
  })

  test('a sender by the whole address; a notification has none', async (t) => {
    const house = await openHouse(t, limited({ sender: { concurrency: 1 } }))
    const bo = MailAddress.of('bo', 'example.net') ?? assert.fail()
    const ann = MailAddress.of('ann', 'example.net') ?? assert.fail()
    const first = await begin(house, '192.0.2.7', bo)
    await assert.rejects(turned(house, begin(house, '198.51.100.7', bo)), busy)
    await begin(house, '192.0.2.7', ann)
    await begin(house)
    await begin(house)
    first.abort()
    await begin(house, '192.0.2.7', bo)
  })

  test('a recipient domain: its recipients are refused for now, others of the same mail are not; each mail counts once', async (t) => {
    const house = await openHouse(t, limited({ 'recipient-domain': { rate: 1, per: '1m', burst: 2 } }))
    const send = (to: readonly string[]) => turned(house, house.submit({ as: 'anna', to }))
    await send(['x@far.example', 'y@far.example', 'z@FAR.example'])
    await send(['x@far.example'])
    await assert.rejects(send(['x@far.example']), busy)
    await send(['ben@example.org', 'x@near.example'])
    // What comes in has limits of its own.
    const ben = MailAddress.of('ben', 'example.org') ?? assert.fail()
    for (let i = 0; i < 2; i++) {
      const passage = await begin(house)
      await passage.recipient(ben, {})
      passage.abort()
    }
    const late = await begin(house)
    await assert.rejects(turned(house, late.recipient(ben, {})), busy)
    await house.pass(60_000)
    await late.recipient(ben, {})
    await late.data(Message.of(Buffer.from(MESSAGE)))
    assert.equal((await house.mails('ben')).length, 2)
  })

  test('recipient domains have a number of mails under way, and octets', async (t) => {
    const house = await openHouse(t, limited({ 'recipient-domain': { concurrency: 1, bandwidth: 1000 } }))
    const anna = MailAddress.of('anna', 'example.org') ?? assert.fail()
    const first = await begin(house)
    await first.recipient(anna, {})
    const second = await begin(house)
    await assert.rejects(turned(house, second.recipient(anna, {})), busy)
    await first.data(Message.of(Buffer.from(`${MESSAGE}${'x'.repeat(60_000)}\r\n`)))
    await assert.rejects(turned(house, second.recipient(anna, {})), busy)
    await house.pass(120_000)
    await second.recipient(anna, {})
    second.abort()
  })

  test('a simulated mail takes no place', async (t) => {
    const house = await openHouse(t, limited({ all: { rate: 1, per: '1h' } }))
    const supposed = { from: 'bo@example.net', to: ['anna@example.org'] } as const
    for (let i = 0; i < 3; i++) assert.equal((await house.transport.simulate(supposed)).refusal, undefined)
    await house.receive({ to: ['anna@example.org'] })
  })
})
