// What slow connections cost the others: the time of a mail alone, and among many clients that hang in the middle of theirs.

import { performance } from 'node:perf_hooks'
import { localPart } from '../clients/logins.ts'
import { SmtpClient } from '../clients/smtp.ts'
import { dial, Wire } from '../clients/wire.ts'
import { figure, Latencies } from '../figures.ts'
import { inParallel } from '../in-parallel.ts'
import { underLoad } from '../load.ts'
import type { Measurement } from '../measurement.ts'
import { sampleMail } from '../sample-mail.ts'
import { DOMAIN, Server } from '../server.ts'

const OCTETS = 4096
const AT_ONCE = 16
/** Each of those that are in the middle of a message sends a line in this time. */
const DROP_MS = 1000

export const slowConnections: Measurement = {
  name: 'slow-connections',
  summary: 'the time of a mail on a connection of its own, alone and among slow clients',

  async measure({ quick, provisioned }) {
    const count = quick ? 200 : 1000
    const mails = quick ? 50 : 300
    const server = await Server.start(provisioned)
    const to = `${localPart(0)}@${DOMAIN}`
    try {
      const latencies = new Latencies()
      let sent = 0
      const send = async (): Promise<void> => {
        for (let i = 0; i < mails; i++) {
          const begun = performance.now()
          const client = await SmtpClient.connect(server.reach, server.ports.smtp)
          await client.send('sender@elsewhere.example', to, sampleMail(sent++, OCTETS, to))
          await client.quit()
          latencies.add(performance.now() - begun)
        }
      }
      await send()
      latencies.clear()
      await send()
      const alone = latencies.figures('time of a mail, alone')
      latencies.clear()

      const before = server.memory()
      const slow = await inParallel(count, AT_ONCE, (index) => hang(server, index, to))
      const memory = server.memory()
      const drops = setInterval(() => {
        for (const [index, wire] of slow.entries()) if (index % 3 === 2 && !wire.over) wire.send('a line\r\n')
      }, DROP_MS)
      const load = await underLoad(server, send)
      clearInterval(drops)
      const lost = slow.filter(({ over }) => over).length
      for (const wire of slow) wire.close()
      return {
        figures: [
          ...alone,
          ...latencies.figures(`time of a mail, among ${count} slow ones`),
          figure(
            'memory of a slow connection (PSS)',
            before === undefined || memory === undefined ? undefined : (memory.pss - before.pss) / count / 1024,
            'KiB',
          ),
          ...load.figures,
        ],
        ...(lost === 0 ? {} : { void: `${lost} of ${count} slow connections were ended meanwhile` }),
      }
    } finally {
      await server.stop()
    }
  },
}

/** A third each: in the middle of a command, behind RCPT, in the middle of a message. */
async function hang({ reach, ports }: Server, index: number, to: string): Promise<Wire> {
  const wire = new Wire(await dial(reach, ports.smtp, false))
  const steps = ['EHLO slow.example', 'MAIL FROM:<slow@elsewhere.example>', `RCPT TO:<${to}>`, 'DATA']
  await wire.line()
  for (const step of steps.slice(0, [1, 3, 4][index % 3])) {
    wire.send(`${step}\r\n`)
    while ((await wire.line())[3] === '-');
  }
  if (index % 3 === 0) wire.send('MAIL FR')
  return wire
}
