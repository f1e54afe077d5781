// A whole day with profanity: contacts, two devices, somebody who is blocked, and a connection that breaks.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { ChatClient, needsSlixmpp } from './chat-client.ts'
import { needs } from './programs.ts'
import { Screen } from './screen.ts'
import { demoJourney } from './demo-journey.ts'

describe('a day with profanity', () => {
  const journey = demoJourney()

  /** Writes profanity's settings, in folders of their own. */
  const prepare = (name: string, port: number): Readonly<Record<string, string>> => {
    const { anna, reach } = journey.demo
    const settings = join(journey.folder, name, 'config')
    const kept = join(journey.folder, name, 'share')
    for (const folder of [settings, kept]) mkdirSync(join(folder, 'profanity'), { recursive: true })
    const account = {
      enabled: true,
      jid: anna.address,
      password: anna.password,
      server: reach.host,
      port,
      resource: name,
    }
    const lines = Object.entries({ ...account, 'tls.policy': 'force' }).map(([key, value]) => `${key}=${value}`)
    writeFileSync(join(kept, 'profanity', 'accounts'), ['[anna]', ...lines, ''].join('\n'))
    return { XDG_CONFIG_HOME: settings, XDG_DATA_HOME: kept }
  }

  /** Starts profanity; resolves when it has logged in. */
  const start = async (t: TestContext, name: string, port = journey.demo.reach.ports.xmpp): Promise<Screen> => {
    const folder = join(journey.folder, name)
    const env = prepare(name, port)
    const screen = await Screen.open(folder, ['profanity', '-a', 'anna'], env)
    t.after(() => screen.close())
    // The certificate is self-signed: profanity shows it, and asks.
    await screen.shows(/\/tls (allow|trust)/)
    await say(screen, '/tls always')
    await screen.shows(new RegExp(`anna@aviso\\.test/${name} logged in successfully`))
    return screen
  }

  const say = async (screen: Screen, text: string): Promise<void> => {
    await screen.type(text)
    await screen.press('Enter')
  }

  const online = async (
    t: TestContext,
    who: 'anna' | 'bert',
    resource: string,
    ...more: string[]
  ): Promise<ChatClient> => {
    const client = new ChatClient(journey.demo.reach, journey.demo[who], 'tls', resource, ...more)
    t.after(() => client.end())
    await client.next('started')
    client.do('roster')
    await client.next('roster')
    client.do('online')
    return client
  }

  /** How many streams were resumed, as the server counts. */
  const resumed = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${journey.demo.reach.ports.metrics}/metrics`)).text()
    return Number(/aviso_chat_resumptions(?:_total)?\{outcome="resumed"\} (\d+)/.exec(text)?.[1] ?? 0)
  }

  test(
    'a day: contacts, two devices, somebody who is blocked, and what was said before',
    { skip: needs('profanity', 'tmux') || needsSlixmpp() },
    async (t) => {
      const { anna, bert } = journey.demo
      const listener = await online(t, 'bert', 'phone')
      const screen = await start(t, 'day')
      await say(screen, '/carbons on')
      await say(screen, `/roster add ${bert.address} Bertram`)
      await screen.shows(/Bertram/)
      const tablet = await online(t, 'anna', 'tablet')

      // Two devices: each sees what the other says and hears.
      await say(screen, `/msg ${bert.address} from the desk`)
      await listener.next('message', anna.address, 'chat', 'from the desk')
      tablet.do('say', bert.address, 'from the tablet')
      await listener.next('message', anna.address, 'chat', 'from the tablet')
      await screen.shows(/from the tablet/)
      listener.do('say', `${anna.address}/tablet`, 'to the tablet alone')
      await tablet.next('message', bert.address, 'chat', 'to the tablet alone')
      await screen.shows(/to the tablet alone/)

      // Blocked, and forgiven.
      await say(screen, `/blocked add ${bert.address}`)
      await say(screen, '/win 1')
      await screen.shows(/successfully blocked/)
      listener.do('say', anna.address, 'can you hear me?')
      // So slixmpp calls every error to a message.
      await listener.next('room-error', anna.address, 'service-unavailable')
      await say(screen, `/blocked remove ${bert.address}`)
      await screen.shows(/successfully unblocked/)
      listener.do('say', anna.address, 'and now?')
      await tablet.next('message', bert.address, 'chat', 'and now?')
      await say(screen, '/quit')
      // One that is cut off in place of leaving could come back: what is said would wait for it.
      await screen.ended()

      // Nobody is there: what is said waits. (Of the archive this profanity finds nothing: it looks for it at the server, not at the account.)
      await tablet.end()
      listener.do('say', anna.address, 'while you were away')
      const fresh = await start(t, 'new')
      await fresh.shows(/unread|bert@aviso\.test|Bertram/)
      await say(fresh, '/win 2')
      await fresh.shows(/while you were away/)
      await say(fresh, '/quit')
    },
  )

  test(
    'a connection that breaks: profanity comes back, and has missed nothing',
    { skip: needs('profanity', 'tmux') || needsSlixmpp() },
    async (t) => {
      const { anna, bert, reach } = journey.demo
      const tunnel = await Tunnel.open(reach.ports.xmpp)
      t.after(() => tunnel.close())
      const listener = await online(t, 'bert', 'phone')
      const screen = await start(t, 'train', tunnel.port)
      await say(screen, '/reconnect 1')
      await say(screen, `/msg ${bert.address} before the tunnel`)
      await listener.next('message', anna.address, 'chat', 'before the tunnel')
      const before = await resumed()
      tunnel.cut()
      listener.do('say', anna.address, 'in the dark')
      await screen.shows(/in the dark/)
      await say(screen, `/msg ${bert.address} out again`)
      await listener.next('message', anna.address, 'chat', 'out again')
      assert.ok((await resumed()) > before, 'its stream was resumed')
      await say(screen, '/quit')
    },
  )
})

/** A way to the server that can be cut. */
class Tunnel {
  readonly #server = createServer((near) => this.#join(near))
  readonly #to: number
  readonly #ends = new Set<Socket>()

  private constructor(to: number) {
    this.#to = to
  }

  static async open(to: number): Promise<Tunnel> {
    const tunnel = new Tunnel(to)
    await new Promise<void>((resolve) => tunnel.#server.listen(0, '127.0.0.1', resolve))
    return tunnel
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  #join(near: Socket): void {
    const far = connect(this.#to, '127.0.0.1')
    for (const end of [near, far]) {
      this.#ends.add(end)
      end.on('error', () => {}).on('close', () => (this.#ends.delete(end), near.destroy(), far.destroy()))
    }
    near.pipe(far).pipe(near)
  }

  /** All connections break; new ones may come. */
  cut(): void {
    for (const end of this.#ends) end.resetAndDestroy()
  }

  close(): void {
    this.cut()
    this.#server.close()
  }
}
