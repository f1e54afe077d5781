// Mail in by SMTP: durable before it is acknowledged, then counted over IMAP.

import { performance } from 'node:perf_hooks'
import { ImapClient } from '../clients/imap.ts'
import { localPart, logins } from '../clients/logins.ts'
import { SmtpClient } from '../clients/smtp.ts'
import { figure, Latencies, rate } from '../figures.ts'
import { inParallel } from '../in-parallel.ts'
import { underLoad } from '../load.ts'
import type { Measurement } from '../measurement.ts'
import { DOMAIN, Server } from '../server.ts'
import { sampleMail } from '../sample-mail.ts'

const MAILBOXES = 20
const CONNECTIONS = 10
const OCTETS = 4096
/** Then a client connects anew: servers do not let one connection go on for ever. */
const MAILS_PER_CONNECTION = 500

export const mailIn: Measurement = {
  name: 'mail-in',
  summary: `SMTP to ${MAILBOXES} mailboxes, ${OCTETS / 1024} KiB each, ${CONNECTIONS} connections`,

  async measure({ quick, provisioned }) {
    const mails = quick ? 1000 : 10_000
    const warmUp = quick ? 100 : 1000
    const server = await Server.start(provisioned)
    try {
      const latencies = new Latencies()
      const send = async (count: number, first: number): Promise<void> => {
        let next = 0
        await inParallel(CONNECTIONS, CONNECTIONS, async () => {
          while (next < count) {
            const client = await SmtpClient.connect(server.reach, server.ports.smtp)
            for (let sent = 0; sent < MAILS_PER_CONNECTION && next < count; sent++) {
              const mail = next++
              const to = `${localPart(mail % MAILBOXES)}@${DOMAIN}`
              const begun = performance.now()
              await client.send('sender@elsewhere.example', to, sampleMail(first + mail, OCTETS, to))
              latencies.add(performance.now() - begun)
            }
            await client.quit()
          }
        })
      }
      await send(warmUp, 0)
      latencies.clear()
      const load = await underLoad(server, () => send(mails, warmUp))

      let arrived = 0
      for (let user = 0; user < MAILBOXES; user++) {
        const imap = await ImapClient.connect(server.reach, server.ports.imaps, logins, localPart(user))
        arrived += await imap.count('INBOX')
        imap.close()
      }
      return {
        figures: [
          figure('mails accepted', mails / load.seconds, '/s'),
          figure('CPU per 10,000 mails', rate(load.cpu, mails, 10_000), 's'),
          ...latencies.figures('time of a mail'),
          ...load.figures,
        ],
        ...(arrived === warmUp + mails ? {} : { void: `${warmUp + mails} mails accepted, ${arrived} found by IMAP` }),
      }
    } finally {
      await server.stop()
    }
  },
}
