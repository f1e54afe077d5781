import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  FeatureTexts,
  Jid,
  NS,
  StanzaError,
  Underway,
  el,
  type Element,
  type ServerStreamHandlers,
} from '../src/index.ts'
import { PLAIN_ANNA, condition, house, loggedIn, opened, streamError } from './stream-house.ts'

describe('stream headers', () => {
  it('are answered in the name of the addressed host, with a new id', async () => {
    const { peer, stream } = house()
    peer.open("to='A.Example' from='anna@a.example' xml:lang='de'")
    const header = await peer.header()
    assert.deepEqual(
      ['from', 'to', 'id', 'version', 'xml:lang'].map((name) => header.get(name)),
      ['a.example', 'anna@a.example', 's1', '1.0', 'en'],
    )
    const features = await peer.element()
    assert.deepEqual(
      features.child('mechanisms', NS.sasl)?.elements.map((m) => m.text()),
      ['SCRAM-SHA-1', 'PLAIN'],
    )
    assert.deepEqual([stream.host, stream.lang, stream.state], ['a.example', 'de', 'negotiating'])
  })

  it('bring features that are made once for all streams that are offered the same', async () => {
    const featureTexts = new FeatureTexts()
    let made = 0
    const offered = async (key: string | undefined, handlers: Partial<ServerStreamHandlers> = {}): Promise<string> => {
      const features = (): Element[] => [el('made', { xmlns: 'urn:x', number: ++made })]
      const { peer } = house({ featureTexts }, { features, featuresKey: () => key, ...handlers })
      return (await opened(peer, "to='a.example'")).toString()
    }
    const first = await offered('one')
    assert.match(first, /<made xmlns='urn:x' number='1'\/>/)
    assert.equal(await offered('one'), first)
    assert.match(await offered('two'), /number='2'/)
    assert.match(await offered(undefined), /number='3'/)
    // What the stream itself knows is no part of the name.
    const { peer } = house({ featureTexts, secure: false }, { featuresKey: () => 'one', features: () => [] })
    assert.doesNotMatch((await opened(peer, "to='a.example'")).toString(), /made/)
    assert.equal(await offered('one'), first)
  })

  it('bring the features of a stage: what was offered before the login is not offered behind it', async () => {
    const featureTexts = new FeatureTexts()
    for (const round of [1, 2]) {
      const { peer } = house({ featureTexts }, { featuresKey: () => 'one' })
      assert.ok((await opened(peer)).child('mechanisms', NS.sasl), `round ${round}`)
      peer.send(PLAIN_ANNA)
      assert.equal((await peer.element()).name, 'success')
      assert.deepEqual(
        (await opened(peer)).elements.map(({ name }) => name),
        ['bind', 'limits'],
      )
    }
  })

  it('tell how large a stanza may be, before the login and behind it (XEP-0478)', async () => {
    const { peer } = house({ limits: { unauthenticatedStanzaBytes: 5000, stanzaBytes: 70_000 } })
    const told = async (): Promise<string | undefined> =>
      (await opened(peer)).child('limits', NS.streamLimits)?.childText('max-bytes')
    assert.equal(await told(), '5000')
    peer.send(PLAIN_ANNA)
    assert.equal((await peer.element()).name, 'success')
    assert.equal(await told(), '70000')
  })

  const open = (attributes: string): string => `<stream:stream ${attributes}>`
  const streams = `xmlns:stream='${NS.streams}'`
  const client = "xmlns='jabber:client'"
  const cases: [string, string, string][] = [
    ['an unknown host', open(`${client} ${streams} version='1.0' to='b.example'`), 'host-unknown'],
    ['an address that is none', open(`${client} ${streams} version='1.0' to='@@'`), 'host-unknown'],
    ['an account instead of a host', open(`${client} ${streams} version='1.0' to='anna@a.example'`), 'host-unknown'],
    ['an old version', open(`${client} ${streams} to='a.example'`), 'unsupported-version'],
    [
      'another content namespace',
      open(`xmlns='jabber:server' ${streams} version='1.0' to='a.example'`),
      'invalid-namespace',
    ],
    [
      'another stream namespace',
      open(`${client} xmlns:stream='urn:x' version='1.0' to='a.example'`),
      'invalid-namespace',
    ],
    ['an unbound stream prefix', open(`${client} version='1.0' to='a.example'`), 'bad-namespace-prefix'],
    ['another element', `<stream:flood ${client} ${streams} version='1.0' to='a.example'>`, 'bad-format'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n', 'not-well-formed'],
    ['a header that is too long', open(`${client} to='${'x'.repeat(11_000)}`), 'policy-violation'],
  ]
  for (const [name, header, condition] of cases) {
    it(`${name}: ${condition}, behind a header of our own`, async () => {
      const { peer, closed } = house()
      peer.send(header)
      assert.equal((await peer.header()).get('from'), 'a.example')
      assert.equal((await streamError(peer)).condition, condition)
      assert.deepEqual(
        closed.map(({ by }) => by),
        ['error'],
      )
    })
  }
})

describe('SASL', () => {
  it('success restarts the stream, then a resource is bound', async () => {
    const { peer, stream, timers } = house()
    await loggedIn(peer)
    assert.deepEqual([stream.state, String(stream.jid), stream.id], ['bound', 'anna@a.example/desk', 's2'])
    assert.equal(timers.size, 0)
  })
  it('several rounds; no initial response, and the empty one', async () => {
    const { peer } = house()
    await opened(peer)
    peer.send(`<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-1'/>`)
    assert.equal((await peer.element()).toString(NS.sasl), '<challenge/>')
    peer.send(`<response xmlns='${NS.sasl}'>${Buffer.from('first').toString('base64')}</response>`)
    assert.equal(Buffer.from((await peer.element()).text(), 'base64').toString(), 'go on')
    peer.send(`<response xmlns='${NS.sasl}'/>`)
    assert.equal((await peer.element()).toString(NS.sasl), '<success>=</success>')
  })
  it('failures are told, and after the third the stream ends', async () => {
    const { peer, closed } = house()
    await opened(peer)
    const send = async (xml: string): Promise<string | undefined> => {
      peer.send(xml)
      const failure = await peer.element()
      assert.ok(failure.is('failure', NS.sasl))
      return failure.firstElement?.name
    }
    assert.equal(await send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>!!!</auth>`), 'incorrect-encoding')
    assert.equal(await send(`<auth xmlns='${NS.sasl}' mechanism='X-NONE'>=</auth>`), 'invalid-mechanism')
    assert.equal(await send(`<abort xmlns='${NS.sasl}'/>`), 'aborted')
    assert.equal((await streamError(peer)).condition, 'policy-violation')
    assert.equal(closed.length, 1)
  })
  it('a response without an exchange, and a wrong password that is corrected', async () => {
    const { peer } = house()
    await opened(peer)
    peer.send(`<response xmlns='${NS.sasl}'>=</response>`)
    assert.equal((await peer.element()).firstElement?.name, 'malformed-request')
    peer.send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${Buffer.from('\0anna\0wrong').toString('base64')}</auth>`)
    const failure = await peer.element()
    assert.deepEqual([failure.firstElement?.name, failure.childText('text')], ['not-authorized', 'wrong'])
    peer.send(PLAIN_ANNA)
    assert.equal((await peer.element()).name, 'success')
  })
  it('a stanza before logging in, or before binding, is not authorized', async () => {
    const first = house()
    await opened(first.peer)
    first.peer.send('<presence/>')
    assert.equal((await streamError(first.peer)).condition, 'not-authorized')
    const second = house()
    await opened(second.peer)
    second.peer.send(PLAIN_ANNA)
    await second.peer.element()
    await opened(second.peer)
    second.peer.send('<presence/>')
    assert.equal((await streamError(second.peer)).condition, 'not-authorized')
  })
  it('big stanzas are for those who are logged in', async () => {
    const { peer, stanzas } = house()
    await loggedIn(peer)
    peer.send(`<message><body>${'x'.repeat(100_000)}</body></message><iq type='get' id='1'/>`)
    while (stanzas.length < 2) await new Promise(setImmediate)
    const before = house()
    await opened(before.peer)
    before.peer.send(`<auth xmlns='${NS.sasl}' mechanism='PLAIN'>${'A'.repeat(12_000)}</auth>`)
    assert.equal((await streamError(before.peer)).condition, 'policy-violation')
  })
  it('who dawdles is sent away', async () => {
    const { peer, timers } = house({ negotiationTimeout: 1000 })
    await opened(peer)
    timers.turn(1000)
    assert.equal((await streamError(peer)).condition, 'connection-timeout')
  })
  it('a refused resource leaves another try', async () => {
    const { peer } = house(
      {},
      {
        bind: async (resource, stream) => {
          if (resource === 'taken') throw StanzaError.of('conflict')
          return Jid.of('anna', stream.host, resource)
        },
      },
    )
    await opened(peer)
    peer.send(PLAIN_ANNA)
    await peer.element()
    await opened(peer)
    const bind = (resource: string): void =>
      peer.send(`<iq type='set' id='b'><bind xmlns='${NS.bind}'><resource>${resource}</resource></bind></iq>`)
    bind('taken')
    assert.equal(StanzaError.from(await peer.element()).condition, 'conflict')
    bind('free')
    assert.equal((await peer.element()).child('bind', NS.bind)?.childText('jid'), 'anna@a.example/free')
  })
})

describe('stanzas', () => {
  it('are handled one by one, in order, however long one takes; reading stops when much waits', async () => {
    const order: string[] = []
    const releases: (() => void)[] = []
    const { peer, stream } = house(
      { limits: { waitingBytes: 100 } },
      {
        stanza: async (stanza) => {
          order.push(`begin ${stanza.get('id')}`)
          if (stanza.get('id') === '1') await new Promise<void>((resolve) => releases.push(resolve))
          order.push(`end ${stanza.get('id')}`)
        },
      },
    )
    await loggedIn(peer)
    peer.send("<message id='1'/><message id='2'/>")
    while (order.length === 0) await new Promise(setImmediate)
    peer.send("<message id='3'/>" + ' '.repeat(200))
    while (!stream.socket.isPaused()) await new Promise(setImmediate)
    peer.send("<message id='4'/>")
    assert.deepEqual(order, ['begin 1'])
    releases[0]?.()
    while (order.length < 8) await new Promise(setImmediate)
    assert.deepEqual(
      order,
      ['1', '2', '3', '4'].flatMap((id) => [`begin ${id}`, `end ${id}`]),
    )
    assert.equal(stream.socket.isPaused(), false)
  })
  it('messages that are underway hold up only what may not follow them; the rest, and the end, come when they have arrived', async () => {
    const seen: string[] = []
    const releases: (() => void)[] = []
    const { peer, closed } = house(
      {},
      {
        stanza: (stanza) => {
          const id = stanza.get('id') ?? ''
          seen.push(id)
          if (stanza.name === 'iq') return undefined
          return new Underway(new Promise((resolve) => releases.push(resolve))).with(1)
        },
        mayFollow: (message) => message.get('type') !== 'groupchat',
        closed: (reason) => {
          seen.push('closed')
          closed.push(reason)
        },
      },
    )
    const settle = async (count: number): Promise<void> => {
      while (seen.length < count) await new Promise(setImmediate)
      for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
    }
    await loggedIn(peer)
    peer.send("<message id='1'/><message id='2'/><iq id='3'/><message id='4'/><message id='5' type='groupchat'/>")
    await settle(2)
    assert.deepEqual(seen, ['1', '2'])
    releases[0]?.()
    await settle(2)
    assert.deepEqual(seen, ['1', '2'], 'one of them is not there yet')
    releases[1]?.()
    await settle(4)
    assert.deepEqual(seen, ['1', '2', '3', '4'])
    releases[2]?.()
    await settle(5)
    peer.send('</stream:stream>')
    await settle(5)
    assert.deepEqual(seen, ['1', '2', '3', '4', '5'])
    releases[3]?.()
    await settle(6)
    assert.deepEqual(seen, ['1', '2', '3', '4', '5', 'closed'])
    assert.equal(closed[0]?.by, 'peer')
  })
  it('no more is underway than a bound, and one that fails ends the stream', async () => {
    const fails: ((error: Error) => void)[] = []
    const { peer, closed } = house(
      {},
      {
        stanza: () => {
          return new Underway(new Promise((_resolve, reject) => fails.push(reject))).with(1)
        },
        mayFollow: () => true,
      },
    )
    await loggedIn(peer)
    peer.send("<message id='m'/>".repeat(100))
    while (fails.length === 0) await new Promise(setImmediate)
    for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
    assert.equal(fails.length, 32)
    fails[7]?.(new Error('defect'))
    const error = await streamError(peer)
    assert.equal(error.condition, 'internal-server-error')
    for (const fail of fails) fail(new Error('defect'))
    for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
    assert.equal(fails.length, 32)
    assert.equal(closed.length, 1)
  })
  it('of one turn of the loop leave in one write', async () => {
    const { peer, stream } = house()
    await loggedIn(peer)
    const before = peer.chunks
    for (let id = 0; id < 50; id++) stream.send(el('message', { id }, el('body', {}, 'hello')))
    for (let id = 0; id < 50; id++) assert.equal((await peer.element()).get('id'), String(id))
    assert.equal(peer.chunks, before + 1)
  })
  it('a thrown StanzaError goes back to the sender; the stream goes on', async () => {
    const { peer } = house(
      {},
      {
        stanza: (stanza) => {
          if (stanza.get('id') === 'late') return Promise.reject(StanzaError.of('item-not-found', 'nobody'))
          throw StanzaError.of('service-unavailable')
        },
      },
    )
    await loggedIn(peer)
    peer.send(
      "<iq type='get' id='now' to='x@a.example'/><message id='late'/><message type='error' id='never'/><iq type='get' id='last'/>",
    )
    const replies = [await peer.element(), await peer.element(), await peer.element()]
    assert.deepEqual(
      replies.map((reply) => [reply.get('id'), StanzaError.from(reply).condition]),
      [
        ['now', 'service-unavailable'],
        ['late', 'item-not-found'],
        ['last', 'service-unavailable'],
      ],
    )
    assert.equal(replies[0]?.get('from'), 'x@a.example')
  })
  it('anything else that a handler throws ends this stream alone, and says nothing of itself', async () => {
    for (const stanza of [() => Promise.reject(new Error('secret path')), () => assert.fail('secret path')]) {
      const { peer, closed } = house({}, { stanza })
      await loggedIn(peer)
      peer.send("<message id='1'/><message id='2'/>")
      const error = await streamError(peer)
      assert.deepEqual([error.condition, error.text], ['internal-server-error', ''])
      assert.match(String(closed[0]?.error?.cause), /secret path/)
    }
  })
  it('other elements go to the nonza handler; unknown ones end the stream', async () => {
    const { peer } = house(
      {},
      {
        nonza: (element, stream) => element.name === 'r' && stream.send(el('a', { xmlns: NS.streamManagement, h: 0 })),
      },
    )
    await loggedIn(peer)
    peer.send(`<r xmlns='${NS.streamManagement}'/>`)
    assert.ok((await peer.element()).is('a', NS.streamManagement))
    peer.send("<what xmlns='urn:x'/>")
    assert.equal((await streamError(peer)).condition, 'unsupported-stanza-type')
  })
  it('white space is a keepalive, both ways', async () => {
    let blanks = 0
    const { peer, stream, stanzas } = house({}, { whitespace: () => blanks++ })
    await loggedIn(peer)
    peer.send(' ')
    peer.send('\n<presence/>')
    stream.keepalive()
    while (stanzas.length === 0) await new Promise(setImmediate)
    assert.equal(blanks, 2)
  })
})

describe('the end of a stream', () => {
  it('the peer closes: what it sent before is handled first', async () => {
    const { peer, stanzas, closed } = house(
      {},
      {
        stanza: async (stanza) => {
          await new Promise(setImmediate)
          stanzas.push(stanza)
        },
      },
    )
    await loggedIn(peer)
    peer.send("<message id='1'/><message id='2'/></stream:stream>")
    assert.equal((await peer.next()).kind, 'end')
    assert.equal((await peer.next()).kind, 'disconnected')
    assert.deepEqual([stanzas.length, closed], [2, [{ by: 'peer' }]])
  })
  it('the server closes: the peer may take its time, but not for ever', async () => {
    const { peer, stream, timers, closed } = house()
    await loggedIn(peer)
    stream.close()
    assert.equal(stream.send('<message/>'), false)
    assert.equal((await peer.next()).kind, 'end')
    assert.equal(stream.socket.destroyed, false)
    timers.turn(5000)
    assert.equal(stream.socket.destroyed, true)
    assert.deepEqual([closed, stream.state], [[{ by: 'local' }], 'closed'])
  })
  it('both close: the connection goes at once', async () => {
    const { peer, stream } = house()
    await loggedIn(peer)
    stream.close()
    await peer.next()
    peer.send('<message/></stream:stream>')
    assert.equal((await peer.next()).kind, 'disconnected')
  })
  it('the connection is lost', async () => {
    const { peer, closed } = house()
    await loggedIn(peer)
    peer.socket.destroy()
    while (closed.length === 0) await new Promise(setImmediate)
    assert.equal(closed[0]?.by, 'lost')
  })
  it('the connection ends while a stanza is handled: what came is still handled', async () => {
    const seen: string[] = []
    const { peer, closed } = house(
      {},
      {
        stanza: async (stanza) => {
          await new Promise(setImmediate)
          seen.push(stanza.get('id') ?? '')
        },
      },
    )
    await loggedIn(peer)
    peer.send("<message id='1'/><message id='2'/><message id='3'/>")
    peer.socket.end()
    while (closed.length === 0) await new Promise(setImmediate)
    assert.deepEqual(seen, ['1', '2', '3'])
  })
  it('the connection ends while messages are underway: it is over when they have arrived', async () => {
    let arrive = (): void => {}
    const { peer, closed } = house(
      {},
      { stanza: () => new Underway(new Promise((resolve) => (arrive = resolve))).with(1), mayFollow: () => true },
    )
    await loggedIn(peer)
    peer.send("<message id='1'/>")
    peer.socket.end()
    for (let turns = 0; turns < 5; turns++) await new Promise(setImmediate)
    assert.equal(closed.length, 0)
    arrive()
    while (closed.length === 0) await new Promise(setImmediate)
    assert.equal(closed[0]?.by, 'lost')
  })
  it('the peer sends a stream error', async () => {
    const { peer, closed } = house()
    await loggedIn(peer)
    peer.send(`<stream:error><conflict xmlns='${NS.streamErrors}'/></stream:error>`)
    assert.equal((await peer.next()).kind, 'end')
    assert.deepEqual([closed[0]?.by, condition(closed[0])], ['peer-error', 'conflict'])
  })
  it('a peer that does not read is given up', async () => {
    const { peer, stream, closed, timers } = house({ limits: { outgoingBytes: 500_000 } })
    await loggedIn(peer)
    peer.socket.pause()
    const message = el('message', {}, el('body', {}, 'x'.repeat(10_000)))
    let sent = 0
    while (stream.send(message)) {
      assert.ok(++sent < 1000)
      await new Promise(setImmediate)
    }
    assert.equal(condition(closed[0]), 'resource-constraint')
    timers.turn(5000)
    assert.equal(stream.socket.destroyed, true)
  })
  it('drained() waits for a slow reader', async () => {
    const { peer, stream } = house()
    await loggedIn(peer)
    peer.socket.pause()
    stream.send(el('message', {}, el('body', {}, 'x'.repeat(100_000))))
    let done = false
    const drained = stream.drained().then(() => (done = true))
    await new Promise(setImmediate)
    assert.equal(done, false)
    peer.socket.resume()
    await drained
    assert.ok(stream.bufferedBytes < 65_536)
  })
})
