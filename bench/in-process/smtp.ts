// Measures packages/smtp alone, beside smtp-server and nodemailer: CPU per message of a server that discards, and of a client that sends to a sink.
// `node scripts/run.cjs bench/in-process/smtp.ts [messages] [octets]`. The other end runs in a process of its own.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { createTransport } from 'nodemailer'
import { SMTPServer } from 'smtp-server'
import { SmtpClient, SmtpServer } from '../../packages/smtp/src/index.ts'
import { SmtpClient as BenchClient } from '../clients/smtp.ts'
import { inParallel } from '../in-parallel.ts'
import { sampleMail } from '../sample-mail.ts'

const CONNECTIONS = 8
const FROM = 'sender@elsewhere.example'
const TO = 'anna@example.org'

interface Job {
  readonly port: number
  readonly messages: number
  readonly octets: number
}

const [role = '', ...rest] = process.argv.slice(2)
if (role === 'generator') generator()
else if (role === 'sink') await sink()
else await measure(Number(role === '' ? 20_000 : role), Number(rest[0] ?? 4800))

/** Sends what it is told to, as fast as it can; says when it is done. */
function generator(): void {
  process.on('message', ({ port, messages, octets }: Job) => {
    const mail = sampleMail(1, octets, TO)
    const reach = { host: '127.0.0.1', serverName: 'localhost', trust: createSecureContext() }
    let left = messages
    void inParallel(CONNECTIONS, CONNECTIONS, async () => {
      let client: BenchClient | undefined
      for (let sent = 0; left-- > 0; sent++) {
        if (sent % 500 === 0) await client?.quit()
        if (client === undefined || sent % 500 === 0) client = await BenchClient.connect(reach, port)
        await client.send(FROM, TO, mail)
      }
      await client?.quit()
    }).then(() => process.send?.('done'))
  })
  process.send?.('ready')
}

/** A server that takes everything, to send to. */
async function sink(): Promise<void> {
  const server = ours()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  process.send?.((server.address() as AddressInfo).port)
}

function ours(): Server {
  const smtp = new SmtpServer({
    kind: 'smtp',
    hostname: 'mx.example.org',
    handler: () => ({ mail: () => {}, rcpt: () => {}, data: () => {} }),
  })
  return createServer({ noDelay: true }, (socket) => smtp.accept(socket, { peer: { address: '127.0.0.1' } }))
}

function theirs(): Server {
  return new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, _session, done) {
      stream.on('end', () => done()).resume()
    },
  }).server
}

async function measure(messages: number, octets: number): Promise<void> {
  console.log(`${messages} messages of ${octets} octets, ${CONNECTIONS} connections`)
  for (const [name, make] of [
    ['server: aviso', ours],
    ['server: smtp-server', theirs],
  ] as const) {
    const server = make()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const child = start('generator')
    await once(child, 'message')
    const load = async (count: number): Promise<void> => {
      const job: Job = { port, messages: count, octets }
      child.send(job)
      await once(child, 'message')
    }
    await report(name, messages, load)
    child.kill()
    server.close()
  }
  const child = start('sink')
  const [port] = (await once(child, 'message')) as [number]
  const mail = sampleMail(1, octets, TO)
  for (const [name, chunking] of [
    ['client: aviso, BDAT', true],
    ['client: aviso, DATA', false],
  ] as const) {
    await report(name, messages, async (count) => {
      let left = count
      await inParallel(CONNECTIONS, CONNECTIONS, async () => {
        let client: SmtpClient | undefined
        for (let sent = 0; left-- > 0; sent++) {
          if (sent % 500 === 0) {
            await client?.quit()
            client = await SmtpClient.open({
              connect: () => connect(port, '127.0.0.1'),
              name: 'bench.example',
              chunking,
            })
          }
          await client?.send({ reversePath: FROM, recipients: [{ address: TO }] }, mail)
        }
        await client?.quit()
      })
    })
  }
  const transport = createTransport({
    pool: true,
    maxConnections: CONNECTIONS,
    maxMessages: 500,
    host: '127.0.0.1',
    port,
    ignoreTLS: true,
  })
  await report('client: nodemailer', messages, async (count) => {
    let left = count
    await inParallel(CONNECTIONS, CONNECTIONS, async () => {
      while (left-- > 0) await transport.sendMail({ envelope: { from: FROM, to: TO }, raw: mail })
    })
  })
  transport.close()
  child.kill()
}

function start(part: string): ChildProcess {
  return fork(fileURLToPath(import.meta.url), [part], { execArgv: process.execArgv })
}

async function report(name: string, messages: number, load: (count: number) => Promise<void>): Promise<void> {
  await load(Math.ceil(messages / 5))
  const begun = performance.now()
  const before = process.cpuUsage()
  await load(messages)
  const { user, system } = process.cpuUsage(before)
  const seconds = (performance.now() - begun) / 1000
  const cpu = (user + system) / 1000 / messages
  console.log(`${name.padEnd(22)} ${cpu.toFixed(4)} ms CPU a message, ${Math.round(messages / seconds)} messages/s`)
}
