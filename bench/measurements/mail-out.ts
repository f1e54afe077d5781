// Mail through: taken in by SMTP, durable before it is acknowledged, kept by the queue and sent on by SMTP to a server that keeps nothing. Beside Postfix where it is installed.

import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { SmtpServer } from '@aviso/smtp'
import { needsPostfix, Postfix } from '../../tests/interop/postfix.ts'
import type { Reach } from '../clients/wire.ts'
import { SmtpClient } from '../clients/smtp.ts'
import { type Figure, figure, Latencies, rate } from '../figures.ts'
import { inParallel } from '../in-parallel.ts'
import type { Measurement } from '../measurement.ts'
import { cpuSecondsOfTree } from '../process-figures.ts'
import { sampleMail } from '../sample-mail.ts'
import { Server } from '../server.ts'

const CONNECTIONS = 10
const DOMAINS = 100
const OCTETS = 4096
const MAILS_PER_CONNECTION = 500

export const mailOut: Measurement = {
  name: 'mail-out',
  summary: `SMTP in, the queue, SMTP out to one server: ${OCTETS / 1024} KiB each, ${CONNECTIONS} connections, ${DOMAINS} domains`,

  async measure({ quick, provisioned }) {
    const mails = quick ? 500 : 5000
    const sink = await Sink.open()
    const figures: Figure[] = []
    try {
      const settings = `
mail:
  targets: { smtp/sink: { servers: ['127.0.0.1:${sink.port}'], tls: none } }
  incoming: { checks: {}, routes: [{ recipient: ['*.out.example'], deliver: [smtp/sink] }] }
`
      const aviso = await Server.start(provisioned, { settings })
      try {
        const way = { reach: aviso.reach, port: aviso.ports.smtp, pid: aviso.pid }
        figures.push(...(await sendThrough('Aviso', way, sink, mails)))
        if (needsPostfix() === false) {
          const { certificate, key } = aviso.certificate
          const postfix = await Postfix.start({
            certificate: readFileSync(certificate, 'utf8'),
            key: readFileSync(key, 'utf8'),
            relay: { port: sink.port, settings: ['smtp_tls_security_level = none'] },
          })
          try {
            const peer = { reach: aviso.reach, port: postfix.port, pid: postfix.master ?? 0 }
            figures.push(...(await sendThrough('Postfix', peer, sink, mails)))
          } finally {
            await postfix.stop()
          }
        }
      } finally {
        await aviso.stop()
      }
    } finally {
      sink.close()
    }
    return { figures }
  },
}

interface Way {
  readonly reach: Reach
  readonly port: number
  readonly pid: number
}

async function sendThrough(name: string, { reach, port, pid }: Way, sink: Sink, mails: number): Promise<Figure[]> {
  const latencies = new Latencies()
  const send = async (count: number): Promise<void> => {
    const all = sink.expect(count)
    let next = 0
    await inParallel(CONNECTIONS, CONNECTIONS, async () => {
      while (next < count) {
        const client = await SmtpClient.connect(reach, port)
        for (let sent = 0; sent < MAILS_PER_CONNECTION && next < count; sent++) {
          const mail = next++
          const to = `u${mail}@d${mail % DOMAINS}.out.example`
          const begun = performance.now()
          await client.send('sender@elsewhere.example', to, sampleMail(mail, OCTETS, to))
          latencies.add(performance.now() - begun)
        }
        await client.quit()
      }
    })
    await all
  }
  await send(Math.floor(mails / 10))
  latencies.clear()
  const cpuBefore = cpuSecondsOfTree(pid)
  const begun = performance.now()
  await send(mails)
  const seconds = (performance.now() - begun) / 1000
  const cpuAfter = cpuSecondsOfTree(pid)
  const cpu = cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore
  return [
    figure(`${name}: mails through`, mails / seconds, '/s'),
    figure(`${name}: CPU per 10,000 mails`, rate(cpu, mails, 10_000), 's'),
    ...latencies.figures(`${name}: time until acknowledged`),
  ]
}

/** A server that takes all mail and forgets it. */
class Sink {
  readonly port: number
  readonly #listener: TcpServer
  #missing = 0
  #done: (() => void) | undefined

  private constructor(listener: TcpServer) {
    this.#listener = listener
    this.port = (listener.address() as AddressInfo).port
    const server = new SmtpServer({
      kind: 'smtp',
      hostname: 'sink.example',
      limits: { transactions: 1_000_000 },
      handler: () => ({
        mail: () => {},
        rcpt: () => {},
        data: () => {
          if (--this.#missing === 0) this.#done?.()
        },
      }),
    })
    listener.on('connection', (socket) => server.accept(socket))
  }

  static async open(): Promise<Sink> {
    const listener = createServer({ noDelay: true }).listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return new Sink(listener)
  }

  /** Resolves when so many more have come. */
  expect(count: number): Promise<void> {
    this.#missing = count
    return new Promise((resolve) => (this.#done = resolve))
  }

  close(): void {
    this.#listener.close()
  }
}
