// xmpp.js: logs in with SASL2, gets its resource with it (Bind 2), and comes back with a token instead of its password (FAST).

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { client, xml } from '@xmpp/client'
import { eventually } from './programs.ts'
import { type Demo, type DemoJourney, startDemo } from './server.ts'

describe('xmpp.js', () => {
  let journey: DemoJourney
  let demo: Demo
  before(async () => {
    journey = await startDemo()
    demo = journey.demo
    // It has no option for that.
    setDefaultCACertificates([...getCACertificates(), readFileSync(demo.reach.ca, 'utf8')])
  })
  after(async () => assert.equal(await journey.stop(), 0))

  test('one round trip for a login; the second one needs no password', async () => {
    const mechanisms: string[] = []
    const sent: string[] = []
    const { address, password } = demo.anna
    const entity = client({
      service: `xmpps://${demo.reach.host}:${demo.reach.ports.xmpps}`,
      domain: demo.reach.domain,
      username: address.split('@')[0] ?? '',
      password,
    })
    entity.on('send', (element) => {
      sent.push(element.name)
      if (element.is('authenticate', 'urn:xmpp:sasl:2')) mechanisms.push(String(element.attrs['mechanism']))
    })
    const online: string[] = []
    const failures: Error[] = []
    entity.on('online', (jid) => void online.push(jid.toString()))
    entity.on('error', (error) => void failures.push(error))
    await entity.start()
    await entity.send(xml('presence'))
    await entity.disconnect()
    await eventually('it is back', () => online.length === 2 || undefined)
    assert.deepEqual(mechanisms, ['SCRAM-SHA-1', 'HT-SHA-256-NONE'])
    assert.equal(new Set(online).size, 1, 'the same installation has the same resource')
    assert.ok(online[0]?.startsWith(`${address}/`))
    assert.equal(sent.includes('iq'), false, 'nothing was to be bound')
    await entity.stop()
    assert.deepEqual(failures, [])
  })
})
