// XEP-0124: the requests of one session, in every order that a bad network or a bad client brings them in.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { MESSAGE_SEPARATOR } from '@aviso/xmpp'
import { readBody } from '../../src/chat/endpoints/bosh/body.ts'
import { type BoshAnswer, BoshSession } from '../../src/chat/endpoints/bosh/session.ts'
import { HandClock } from '../../src/kernel/clock.ts'

const BOSH = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'"
const LIMITS = { depth: 20, attributes: 20, prefixes: 20 }
const FIRST = 1000
const EMPTY = "<body xmlns='http://jabber.org/protocol/httpbind'/>"

const read = (attributes: string, content = '') =>
  readBody(Buffer.from(`<body ${BOSH} ${attributes}>${content}</body>`), LIMITS)

/** A request that somebody waits for. */
interface Asked {
  readonly answer: Promise<string>
  /** The client loses the connection. */
  lose(): void
  /** The server wants to be done. */
  hurry(): void
}

/** A session, the stream behind it, and its client. */
class Bench {
  readonly clock = new HandClock()
  readonly session: BoshSession
  /** What the stream has read. */
  readonly said: string[] = []
  over = false

  constructor(attributes = "wait='60' hold='1' ver='1.6'") {
    const terms = { clock: this.clock, inactivity: 60_000, polling: 5000, maxWait: 120_000, maxPause: 120_000 }
    this.#first = read(`rid='${FIRST}' to='example.org' ${attributes}`)
    this.session = new BoshSession('sid', this.#first, terms, () => (this.over = true))
    this.session.pipe.on('error', () => {})
    this.session.pipe.on('data', (text: string) => {
      this.said.push(text)
      if (text.startsWith('<close ')) this.session.pipe.end()
      if (text.startsWith('<open '))
        this.say(
          "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.org' id='stream'/>",
          "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>",
        )
    })
  }
  readonly #first

  /** The stream says this, in one turn. */
  say(...messages: readonly string[]): void {
    this.session.pipe.write(messages.join(MESSAGE_SEPARATOR))
  }

  async begin(): Promise<string> {
    return this.#receive(this.#first).answer
  }

  ask(rid: number, content = '', attributes = ''): Asked {
    return this.#receive(read(`rid='${rid}' sid='sid' ${attributes}`, content))
  }

  #receive(request: ReturnType<typeof read>): Asked {
    const [gone, hurry] = [new AbortController(), new AbortController()]
    const answer = this.session
      .receive(request, { gone: gone.signal, hurry: hurry.signal })
      .then(({ xml }: BoshAnswer) => xml)
    return { answer, lose: () => gone.abort(), hurry: () => hurry.abort() }
  }

  /** The payloads that the stream has read since the last time. */
  heard(): string[] {
    return this.said.splice(0)
  }
}

/** A session that has begun. */
async function begun(attributes?: string): Promise<Bench> {
  const bench = new Bench(attributes)
  assert.match(await bench.begin(), /<stream:features /)
  bench.heard()
  return bench
}

/** What an answer is by now; undefined as long as there is none. */
async function soFar({ answer }: Asked): Promise<string | undefined> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  return Promise.race([answer, Promise.resolve(undefined)])
}

const ended = (condition: string): RegExp => new RegExp(`type='terminate' condition='${condition}'`)

test('a request waits for something to say, and no longer than was agreed', async () => {
  const bench = await begun()
  const one = bench.ask(1001)
  assert.equal(await soFar(one), undefined)
  bench.say("<message xmlns='jabber:client'/>", "<presence xmlns='jabber:client'/>")
  assert.match(await one.answer, /><message xmlns='jabber:client'\/><presence xmlns='jabber:client'\/><\/body>$/)
  const two = bench.ask(1002)
  bench.clock.turn(59_000)
  assert.equal(await soFar(two), undefined)
  bench.clock.turn(1000)
  assert.equal(await two.answer, EMPTY)
})

test('what has nothing to do with a request is fetched by the next one', async () => {
  const bench = await begun()
  bench.say("<message xmlns='jabber:client'/>")
  assert.match(await bench.ask(1001).answer, /<message /)
})

test('a second request sends the first one home', async () => {
  const bench = await begun()
  const one = bench.ask(1001)
  const two = bench.ask(1002, '<presence/>')
  assert.equal(await one.answer, EMPTY)
  assert.equal(await soFar(two), undefined)
  assert.deepEqual(bench.heard(), ["<presence xmlns='jabber:client'/>"])
})

test('requests out of order are put in order', async () => {
  const bench = await begun()
  const late = bench.ask(1002, '<presence/>')
  assert.equal(await soFar(late), undefined)
  assert.deepEqual(bench.heard(), [], 'it waits for the one before')
  const early = bench.ask(1001, "<message to='a'/>")
  assert.equal(await early.answer, EMPTY)
  assert.equal(await soFar(late), undefined)
  assert.deepEqual(bench.heard(), ["<message xmlns='jabber:client' to='a'/>", "<presence xmlns='jabber:client'/>"])
  bench.say("<message xmlns='jabber:client'/>")
  assert.match(await late.answer, /<message /)
})

test('a request beyond the window ends the session, one more may pause or leave', async () => {
  const bench = await begun()
  const waits = bench.ask(1001)
  assert.match(await bench.ask(1004).answer, ended('item-not-found'))
  assert.match(await waits.answer, ended('other-request'))
  assert.ok(bench.over)
  assert.match(await bench.ask(1002).answer, ended('item-not-found'))
  const other = await begun()
  const leaving = other.ask(1003, '', "type='terminate'")
  assert.equal(await soFar(leaving), undefined, 'it waits for those before')
  assert.ok(!other.over)
})

test('an answer that was lost is given again, word for word', async () => {
  const bench = await begun()
  const one = bench.ask(1001)
  bench.say("<message xmlns='jabber:client' id='only-once'/>")
  const answer = await one.answer
  assert.match(answer, /only-once/)
  assert.equal(await bench.ask(1001, '<presence/>').answer, answer)
  assert.deepEqual(bench.heard(), [], 'what it brings is not taken twice')
  assert.match(await bench.ask(1000).answer, / sid='sid'/, 'the first answer of all too')
})

test('an answer that is not kept any more ends the session', async () => {
  const bench = await begun()
  for (const rid of [1001, 1002, 1003]) {
    const asked = bench.ask(rid, '<presence/>')
    bench.say("<presence xmlns='jabber:client'/>")
    await asked.answer
  }
  assert.match(await bench.ask(1001).answer, ended('item-not-found'))
  assert.ok(bench.over)
})

test('a request that comes again while it waits is answered where it came last', async () => {
  const bench = await begun()
  const one = bench.ask(1001)
  const again = bench.ask(1001)
  assert.match(await one.answer, /<body [^>]*type='error'\/>/)
  bench.say("<message xmlns='jabber:client'/>")
  assert.match(await again.answer, /<message /)
})

test('nothing is said into a connection that is gone', async () => {
  const bench = await begun()
  const one = bench.ask(1001)
  one.lose()
  bench.say("<message xmlns='jabber:client' id='kept'/>")
  const two = bench.ask(1002)
  assert.match(await two.answer, /kept/)
  assert.equal(await bench.ask(1001).answer, EMPTY, 'who asks for the first one learns that nothing was in it')
})

test('who repeats for ever is sent away', async () => {
  const bench = await begun()
  bench.say("<message xmlns='jabber:client'/>")
  await bench.ask(1001).answer
  for (let i = 0; i < 20; i++) assert.match(await bench.ask(1001).answer, /<message /)
  assert.match(await bench.ask(1001).answer, ended('policy-violation'))
})

test('a client that asks for nothing any more is given up', async () => {
  const bench = await begun()
  bench.clock.turn(59_999)
  assert.ok(!bench.over)
  bench.clock.turn(1)
  assert.ok(bench.over)
  assert.match(await bench.ask(1001).answer, ended('item-not-found'))
})

test('a request before its turn does not keep a session alive for ever', async () => {
  const bench = await begun()
  const early = bench.ask(1002)
  bench.clock.turn(60_000)
  assert.ok(bench.over)
  assert.match(await early.answer, /type='terminate'/)
})

test('a client may say that it will be away', async () => {
  const bench = await begun()
  const waits = bench.ask(1001)
  const pause = bench.ask(1002, '', "pause='100'")
  assert.equal(await waits.answer, EMPTY)
  assert.equal(await pause.answer, EMPTY)
  bench.say("<message xmlns='jabber:client'/>")
  bench.clock.turn(99_000)
  assert.match(await bench.ask(1003).answer, /<message /)
  bench.clock.turn(60_000)
  assert.ok(bench.over, 'the pause was for once')
  const greedy = await begun()
  assert.match(await greedy.ask(1001, '', "pause='121'").answer, ended('policy-violation'))
})

test('empty requests that come too soon, and too many at once, are refused', async () => {
  const bench = await begun()
  bench.ask(1001)
  assert.match(await bench.ask(1002).answer, ended('policy-violation'))
  const patient = await begun()
  const one = patient.ask(1001)
  patient.clock.turn(5000)
  const two = patient.ask(1002)
  assert.equal(await one.answer, EMPTY)
  assert.equal(await soFar(two), undefined)
})

test('a client that polls is answered at once, and may not do so all the time', async () => {
  const bench = await begun("wait='0' hold='0' ver='1.6'")
  bench.say("<message xmlns='jabber:client'/>")
  assert.match(await bench.ask(1001).answer, /<message /)
  assert.equal(await bench.ask(1002).answer, EMPTY, 'after something came one may ask for more')
  bench.clock.turn(5000)
  assert.equal(await bench.ask(1003).answer, EMPTY)
  bench.clock.turn(4999)
  assert.match(await bench.ask(1004).answer, ended('policy-violation'))
  const slow = await begun("wait='0' ver='1.6'")
  slow.clock.turn(64_999)
  assert.equal(await slow.ask(1001).answer, EMPTY, 'it has a little more time')
})

test('a client that leaves says its last words first', async () => {
  const bench = await begun()
  const waits = bench.ask(1001)
  const leaves = bench.ask(1002, "<presence type='unavailable'/>", "type='terminate'")
  await soFar(leaves)
  assert.deepEqual(bench.heard(), [
    "<presence xmlns='jabber:client' type='unavailable'/>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
  ])
  const answers = await Promise.all([waits.answer, leaves.answer])
  assert.equal(answers.filter((answer) => answer.includes("type='terminate'")).length, 1)
  assert.ok(bench.over)
})

test('an error of the stream ends the session with its words', async () => {
  const bench = await begun()
  const waits = bench.ask(1001)
  bench.say(
    "<message xmlns='jabber:client'/>",
    "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict/></stream:error>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
  )
  const answer = await waits.answer
  assert.match(answer, ended('remote-stream-error'))
  assert.match(answer, /xmlns:stream=.*<message .*<stream:error .*<conflict\/><\/stream:error><\/body>$/)
  assert.doesNotMatch(answer, /framing/)
})

test('an error that nobody waited for is told to the next request', async () => {
  const bench = await begun()
  bench.say(
    "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><conflict/></stream:error>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
  )
  bench.session.pipe.end()
  assert.match(await bench.ask(1001).answer, ended('remote-stream-error'))
  assert.ok(bench.over)
})

test('a restart opens the stream anew, whatever comes with it', async () => {
  const bench = await begun()
  const answer = await bench.ask(1001, '<presence/>', "xmpp:restart='true' to='example.org' xml:lang='de'").answer
  assert.match(answer, /xmlns:stream='http:\/\/etherx.jabber.org\/streams'><stream:features /)
  assert.deepEqual(bench.heard(), [
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0' xml:lang='de'/>",
  ])
})

test('a stream that is busy takes one request after the other', async () => {
  const bench = await begun()
  bench.session.pipe.pause()
  const one = bench.ask(1001, '<presence/><message/>')
  const two = bench.ask(1002, "<iq id='2'/>")
  assert.equal(await soFar(one), undefined, 'the second one is not even taken')
  bench.session.pipe.resume()
  assert.equal(await one.answer, EMPTY)
  assert.equal(await soFar(two), undefined)
  assert.deepEqual(
    bench.heard().map((text) => /^<(\w+)/.exec(text)?.[1]),
    ['presence', 'message', 'iq'],
  )
})

test('a client that does not fetch what is for it slows the stream down, and gets all of it in pieces', async () => {
  const bench = await begun()
  const piece = `<message xmlns='jabber:client'><body>${'x'.repeat(10_000)}</body></message>`
  let goesOn = true
  let written = 0
  while (goesOn && written < 100) {
    goesOn = bench.session.pipe.write(piece)
    written++
  }
  assert.ok(written < 15, 'what waits is bounded')
  let got = 0
  for (let rid = 1001; got < written; rid++) {
    const answer = await bench.ask(rid, '<presence/>').answer
    assert.ok(answer.length < 100_000)
    got += answer.split('<message ').length - 1
  }
  assert.equal(got, written)
})

test('who wants to be done answers at once what waits', async () => {
  const bench = await begun()
  const waits = bench.ask(1001)
  waits.hurry()
  assert.equal(await waits.answer, EMPTY)
  assert.ok(!bench.over)
})

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex')

test('with keys, only who knows the next one is heard', async () => {
  const keys = ['seed']
  for (let i = 0; i < 5; i++) keys.push(sha1(keys.at(-1) ?? ''))
  const [, , k2 = '', k3 = '', k4 = '', k5 = ''] = keys
  const bench = await begun(`wait='60' ver='1.6' newkey='${k5.toUpperCase()}'`)
  bench.ask(1001, '<presence/>', `key='${k4}'`)
  const two = bench.ask(1002, '<message/>', `key='${k3}' newkey='${sha1('another')}'`)
  assert.equal(await soFar(two), undefined)
  const three = bench.ask(1003, '<presence/>', "key='another'")
  assert.equal(await two.answer, EMPTY)
  assert.match(await bench.ask(1003, '', `key='${k2}'`).answer, ended('item-not-found'), 'nor is a repetition')
  assert.match(await three.answer, ended('other-request'))
  const thief = await begun(`wait='60' ver='1.6' newkey='${k5}'`)
  assert.match(await thief.ask(1001, '<presence/>').answer, ended('item-not-found'))
  assert.deepEqual(thief.heard(), [])
})

test('a client of old reads errors from the status', async () => {
  const bench = await begun("wait='60' hold='1'")
  const { status } = await bench.session.receive(read("rid='2000' sid='sid'"), {
    gone: new AbortController().signal,
    hurry: new AbortController().signal,
  })
  assert.equal(status, 404)
})
