// A real component (slixmpp's ComponentXMPP) beside our server: spoken with from here, and from another server.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { short } from '../../packages/server/test/chat/house.ts'
import { certified, Town } from '../../packages/server/test/chat/s2s/town.ts'
import { needsSlixmpp, PYTHON } from './chat-client.ts'
import { eventually } from './programs.ts'

const SCRIPT = fileURLToPath(new URL('clients/component.py', import.meta.url))
const ECHO = 'echo.one.example'

/** Starts it, and collects what it says. */
function start(t: TestContext, port: number, secret: string): { readonly child: ChildProcess; said(): string } {
  const child = spawn(PYTHON, [SCRIPT, ECHO, secret, '127.0.0.1', String(port)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await ended
  })
  return { child, said: () => text }
}

describe('slixmpp as a component', { skip: needsSlixmpp() }, () => {
  test('it answers people here and on another server, and is missed when it goes', async (t) => {
    const town = new Town(t)
    const one = await town.open('one.example', {
      certificate: certified('one.example', '*.one.example'),
      components: [{ domain: ECHO, secret: 'shh', name: 'Echo' }],
    })
    const two = await town.open('two.example')
    town.announce(ECHO, one.servers)
    const { child, said } = start(t, one.components, 'shh')
    await eventually('the component is connected', () => (said().includes('connected') ? true : undefined))
    const anna = await one.arrive('anna')
    const bert = await two.arrive('bert')
    for (const peer of [anna, bert]) {
      peer.send(`<message to='wall@${ECHO}' type='chat'><body>hello</body></message>`)
      assert.equal(short(await peer.next()), `message chat wall@${ECHO} 'hello!'`)
      const info = await peer.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, ECHO)
      assert.equal(info.elements[0]?.child('identity')?.get('name'), 'Echo')
      await peer.request('get', `<ping xmlns='urn:xmpp:ping'/>`, ECHO)
    }
    bert.send(`<presence type='subscribe' to='friend@${ECHO}'/>`)
    const seen: string[] = []
    while (!seen.includes(`presence friend@${ECHO}`)) seen.push(short(await bert.next()))
    assert.ok(seen.includes(`presence subscribed friend@${ECHO}`), seen.join(', '))
    const gone = once(child, 'close')
    child.kill('SIGTERM')
    await gone
    await eventually('its end is seen', () => (one.said('a component is gone').length > 0 ? true : undefined))
    anna.send(`<message to='wall@${ECHO}' type='chat'><body>still there?</body></message>`)
    assert.equal(short(await anna.next()), `message error wall@${ECHO} remote-server-timeout`)
  })

  test('with another secret it stays outside', async (t) => {
    const one = await new Town(t).open('one.example', { components: [{ domain: ECHO, secret: 'shh' }] })
    start(t, one.components, 'guess')
    await eventually('it is refused', () => (one.said('a component was refused').length > 0 ? true : undefined))
    assert.match(String(one.said('a component was refused')[0]?.['why']), /not-authorized/)
    assert.equal(one.said('a component is connected').length, 0)
  })
})
