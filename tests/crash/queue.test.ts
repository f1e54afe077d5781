// `kill -9` while the queue works: every mail that was accepted is delivered or given back, once.
// AVISO_CRASH_ROUNDS says how many times (default 6), AVISO_CRASH_SEED which dice (default: other ones each time).

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server as Listener, type Socket } from 'node:net'
import { test } from 'node:test'
import { type SmtpClient, SmtpConnectionError, SmtpError, SmtpServer } from '@aviso/smtp'
import { between, mailOf, openImap, openSubmission, pick, seeded } from './peers.ts'
import { ANNA, delay, DOMAIN, eventually, Folder, PASSWORD, Server, type Settings } from './server.ts'

const ROUNDS = Number(process.env['AVISO_CRASH_ROUNDS'] ?? 6)
const SEED = Number(process.env['AVISO_CRASH_SEED'] ?? randomInt(1_000_000))
/** More than a mail is delivered to while its sender waits: the queue delivers it. */
const TEAM = 80
/** Above what lies in the database itself. */
const LARGE = 300_000

/** Another server, for every domain: it takes mail, wants to be asked twice, or refuses, by the local part. */
class Sink {
  /** How often each mail came, by its name. */
  readonly came = new Map<string, number>()
  readonly #asked = new Set<string>()
  readonly #listener: Listener
  readonly #sockets = new Set<Socket>()

  constructor() {
    const server = new SmtpServer({
      kind: 'smtp',
      hostname: 'sink.example',
      handler: () => ({
        mail: () => {},
        rcpt: ({ path: { address } }) => {
          if (address.startsWith('no.')) throw new SmtpError(550, '5.1.1', 'No such user')
          if (!address.startsWith('later.') || this.#asked.has(address)) return
          this.#asked.add(address)
          throw new SmtpError(450, '4.7.1', 'Come back later')
        },
        data: ({ recipients }) => {
          for (const { path } of recipients) this.came.set(path.address, (this.came.get(path.address) ?? 0) + 1)
        },
      }),
    })
    this.#listener = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
      server.accept(socket)
    })
  }

  async listen(): Promise<number> {
    this.#listener.listen(0, '127.0.0.1')
    await once(this.#listener, 'listening')
    return (this.#listener.address() as AddressInfo).port
  }

  close(): void {
    this.#listener.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

const settingsFor = (port: number): Settings => ({
  mail: {
    queue: { retry: ['1s'], jitter: 0, 'delay-warning': '0s' },
    remote: { destinations: { '*': { host: '127.0.0.1', port } }, 'mta-sts': false, dane: false },
  },
})

interface Sent {
  readonly name: string
  /** `ok`, `later` and `no` go to the other server. */
  readonly kind: 'team' | 'ok' | 'later' | 'no'
  state: 'unknown' | 'acknowledged'
}

test(`kill -9 while the queue works, ${ROUNDS} times: each mail is delivered or given back once (seed ${SEED})`, async (t) => {
  const folder = new Folder('crash-queue')
  const random = seeded(SEED)
  const sent: Sent[] = []
  const sink = new Sink()
  const settings = settingsFor(await sink.listen())
  let server = await Server.start({ folder: folder.path, settings })
  try {
    await server.ask('account.add', { address: ANNA, password: PASSWORD, role: 'admin' })
    const team = Array.from({ length: TEAM }, (_, i) => `u${i}@${DOMAIN}`)
    await server.ask('account.import', { accounts: team.map((address) => ({ address, password: PASSWORD })) })
    await server.ask('alias.add', { address: `team@${DOMAIN}`, targets: team })
    for (let round = 0; round < ROUNDS; round++) {
      const sending = send(server, sent, random)
      sending.catch(() => {})
      await delay(between(random, 300, 2500))
      await server.kill()
      await sending
      // A crash while the last one is being mended is a crash too.
      if (random() < 0.4) {
        const early = Server.begin({ folder: folder.path, settings })
        await delay(between(random, 300, 1500))
        await early.kill()
      }
      server = await Server.start({ folder: folder.path, settings })
    }
    await eventually('the queue is empty', 120_000, async () => {
      const { mails } = await server.ask('queue.figures', undefined)
      return mails === 0 ? true : undefined
    })
    const faults: string[] = []
    const expect = (what: string, { state }: Sent, count: number): void => {
      if (count > 1 || (count === 0 && state === 'acknowledged')) faults.push(`${what}: ${count} times, ${state}`)
    }
    const returned = await texts(server, ANNA)
    for (const mail of sent.filter(({ kind }) => kind === 'no'))
      expect(
        `the notification of ${mail.name}`,
        mail,
        returned.filter((text) => text.includes(`Final-Recipient: rfc822; ${addressOf(mail)}\r\n`)).length,
      )
    // What the other server had taken when we were killed, before that was written down, it gets again (RFC 5321 §6.1, RFC 1047): those under way only.
    let twice = 0
    for (const mail of sent.filter(({ kind }) => kind === 'ok' || kind === 'later')) {
      const count = sink.came.get(addressOf(mail)) ?? 0
      if (count > 1) twice++
      expect(mail.name, mail, Math.min(1, count))
    }
    assert.ok(twice <= ROUNDS * 2, `${twice} mails came to the other server twice in ${ROUNDS} kills`)
    for (const address of team) {
      const here = await subjects(server, address)
      for (const mail of sent.filter(({ kind }) => kind === 'team'))
        expect(`${mail.name} for ${address}`, mail, here.filter((name) => name === mail.name).length)
    }
    assert.deepEqual(faults, [], `seed ${SEED}`)
    const acknowledged = sent.filter(({ state }) => state === 'acknowledged')
    t.diagnostic(
      `${acknowledged.length} of ${sent.length} mails acknowledged, ${returned.length} given back, ${sink.came.size} at the other server (${twice} of them twice), ${acknowledged.filter(({ kind }) => kind === 'team').length} delivered to ${TEAM} accounts each`,
    )
    assert.equal(await server.stop(), 0)
  } finally {
    if (server.running) await server.kill()
    sink.close()
    folder.remove()
  }
})

/** Some share a domain, some have one of their own. */
const addressOf = ({ name, kind }: Sent): string =>
  kind === 'team' ? `team@${DOMAIN}` : `${kind}.${name}@${name.slice(-1)}.example`

/** Sends until the server dies. */
async function send(server: Server, sent: Sent[], random: () => number): Promise<void> {
  try {
    const client: SmtpClient = await openSubmission(server.ports, ANNA)
    for (let left = 40; left > 0; left--) {
      const kind = random() < 0.1 ? 'team' : pick(random, ['ok', 'later', 'no'] as const)
      const mail: Sent = { name: `mail-${sent.length}`, kind, state: 'unknown' }
      sent.push(mail)
      const to = addressOf(mail)
      const size = random() < 0.1 ? LARGE : 2000
      const [result] = await client.send(
        { reversePath: ANNA, recipients: [{ address: to }] },
        mailOf(mail.name, size, ANNA, [to]),
      )
      if (result?.accepted !== true) {
        if (result?.reply.code === 421) throw new SmtpConnectionError('421', true)
        throw new Error(`${mail.name}: ${String(result?.reply.code)} ${result?.reply.lines.join(' ') ?? ''}`)
      }
      mail.state = 'acknowledged'
      await delay(between(random, 0, 30))
    }
  } catch (error) {
    await Promise.race([server.ended(), delay(2000)])
    if (server.running) throw error
  }
}

async function texts(server: Server, account: string): Promise<readonly string[]> {
  const client = await openImap(server.ports, account)
  const count = await client.select('INBOX')
  const lines = count === 0 ? [] : await client.fetch('1:*', '(UID BODY.PEEK[])')
  await client.logout()
  return lines.map(({ literals }) => (literals[0] ?? Buffer.alloc(0)).toString('latin1'))
}

async function subjects(server: Server, account: string): Promise<readonly string[]> {
  const client = await openImap(server.ports, account)
  const count = await client.select('INBOX')
  const lines = count === 0 ? [] : await client.fetch('1:*', '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])')
  await client.logout()
  return lines.map(({ literals }) => /^Subject: (.*)\r$/m.exec((literals[0] ?? Buffer.alloc(0)).toString())?.[1] ?? '?')
}
