// ClamAV, by a stand-in that speaks clamd's INSTREAM. The real one is in tests/interop/filters.test.ts.

import assert from 'node:assert/strict'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { testFolder } from '../../accounts/tables/fixture.ts'
import { MESSAGE, openHouse, refusal } from '../pipeline/house.ts'

const to = ['anna@example.org']

/** A clamd that answers each stream with what `answer` makes of it; undefined: nothing. */
async function clamd(
  t: TestContext,
  answer: (stream: Buffer) => string | undefined,
  listen: { path: string } | { port: number; host: string } = { port: 0, host: '127.0.0.1' },
): Promise<{ address: string; streams: Buffer[] }> {
  const streams: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let got = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      got = Buffer.concat([got, bytes])
      const stream: Buffer[] = []
      let at = 'zINSTREAM\0'.length
      while (at + 4 <= got.length) {
        const length = got.readUInt32BE(at)
        if (length === 0) {
          assert.equal(got.toString('latin1', 0, 10), 'zINSTREAM\0')
          streams.push(Buffer.concat(stream))
          const said = answer(Buffer.concat(stream))
          if (said !== undefined) socket.end(`${said}\0`)
          return
        }
        if (at + 4 + length > got.length) return
        stream.push(got.subarray(at + 4, at + 4 + length))
        at += 4 + length
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(listen, resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const where = server.address()
  return { streams, address: typeof where === 'string' ? `unix:${where}` : `127.0.0.1:${(where as AddressInfo).port}` }
}

const open = (t: TestContext, settings: object) =>
  openHouse(t, { config: { incoming: { checks: { clamav: settings } } } })

describe('clamav', () => {
  test('a clean mail passes, over a unix socket and over TCP; clamd sees every octet', async (t) => {
    const large = `From: a@b.example\r\n\r\n${'0123456789abcde\r\n'.repeat(20_000)}`
    for (const listen of [{ path: join(testFolder(t), 'clamd') }, { port: 0, host: '127.0.0.1' }]) {
      const { address, streams } = await clamd(t, () => 'stream: OK', listen)
      const house = await open(t, { address })
      await house.receive({ to })
      await house.receive({ to, message: large })
      assert.deepEqual(streams.map(String), [MESSAGE, large])
    }
  })

  test('a virus is refused with its name, or goes to Junk', async (t) => {
    const { address } = await clamd(t, () => 'stream: Win.Test.EICAR_HDB-1 FOUND')
    await assert.rejects(
      (await open(t, { address })).receive({ to }),
      refusal(554, '5.7.0', /virus: Win\.Test\.EICAR_HDB-1$/),
    )
    const house = await open(t, { address, virus: 'quarantine' })
    await house.receive({ to })
    assert.equal((await house.mails('anna', 'Junk')).length, 1)
  })

  for (const said of ['INSTREAM size limit exceeded. ERROR', '', 'OKAY', 'x'.repeat(10_000)])
    test(`'${said.slice(0, 40)}' is no verdict: the mail is deferred`, async (t) => {
      const { address } = await clamd(t, () => said)
      const house = await open(t, { address })
      await assert.rejects(house.receive({ to }), refusal(451, '4.7.1', /viruses/))
      assert.ok(house.lines.some(({ msg }) => /clamd could not/.test(String(msg))))
    })

  test('nobody there: deferred, or as the config says', async (t) => {
    const address = `unix:${join(testFolder(t), 'nobody')}`
    await assert.rejects((await open(t, { address })).receive({ to }), refusal(451, '4.7.1'))
    await (await open(t, { address, failure: 'accept' })).receive({ to })
  })

  test('X-20 a clamd that hangs is given up after its time', async (t) => {
    const { address, streams } = await clamd(t, () => undefined)
    const house = await open(t, { address, timeout: '60s' })
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.7.1'))
    while (streams.length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    house.clock.turn(60_000)
    await refused
  })

  test('what is too large is not looked at', async (t) => {
    const { address, streams } = await clamd(t, () => 'stream: X FOUND')
    await (await open(t, { address, 'max-size': '10B' })).receive({ to })
    assert.equal(streams.length, 0)
  })

  test('an address that is none keeps the config from starting', async (t) => {
    for (const address of ['unix:relative', 'host', 'host:0', '[zz]:25', '1.2.3.4:99999'])
      await assert.rejects(open(t, { address }), address)
  })
})
