// One large mailbox, read over IMAP with TLS as mail programs do.

import { performance } from 'node:perf_hooks'
import { ImapClient, type Untagged } from '../clients/imap.ts'
import { localPart, logins } from '../clients/logins.ts'
import { type Figure, figure, Latencies } from '../figures.ts'
import { underLoad } from '../load.ts'
import type { Measurement } from '../measurement.ts'
import { DOMAIN, Server } from '../server.ts'
import { multipartMail, sampleMail } from '../sample-mail.ts'

const OCTETS = 4096
const APPEND_AT_ONCE = 50

export const imapReading: Measurement = {
  name: 'imap-reading',
  summary: 'one INBOX of 10,000 mails (a quarter multipart), over TLS',

  async measure({ quick, provisioned }) {
    const mails = quick ? 1000 : 10_000
    const bodies = quick ? 100 : 1000
    const server = await Server.start(provisioned)
    try {
      const user = localPart(0)
      const log = (): Promise<ImapClient> => ImapClient.connect(server.reach, server.ports.imaps, logins, user)
      const figures: Figure[] = []
      const problems: string[] = []
      const timed = async (name: string, work: () => Promise<void>): Promise<void> => {
        const begun = performance.now()
        await work()
        figures.push(figure(name, performance.now() - begun, 'ms'))
      }

      const imap = await log()
      const filling = await underLoad(server, () => fill(imap, mails))
      figures.push(figure('APPEND, one connection', mails / filling.seconds, '/s'))

      const reading = await underLoad(server, async () => {
        await timed('SELECT', () => imap.command('SELECT INBOX'))
        const fetch = (name: string, command: string, seen: Untagged = () => {}, expected = mails): Promise<void> =>
          timed(name, async () => {
            let count = 0
            await imap.command(command, (line, octets) => {
              if (!/^\* \d+ FETCH /.test(line)) return
              count++
              seen(line, octets)
            })
            if (count !== expected) problems.push(`${name}: ${count} of ${expected} answers`)
          })
        await fetch('FETCH 1:* FLAGS', 'FETCH 1:* (FLAGS)')
        await fetch('FETCH 1:* ENVELOPE', 'FETCH 1:* (ENVELOPE)')
        await fetch('FETCH 1:* BODYSTRUCTURE', 'FETCH 1:* (BODYSTRUCTURE)')
        await fetch('FETCH 1:* as a list', 'FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)')
        const single = new Latencies()
        let empty = 0
        await timed(`${bodies} bodies, one after the other`, async () => {
          for (let i = 0; i < bodies; i++) {
            const begun = performance.now()
            await imap.command(`FETCH ${1 + ((i * 7919) % mails)} (BODY.PEEK[])`, (_line, octets) => {
              if (octets < OCTETS / 2) empty++
            })
            single.add(performance.now() - begun)
          }
        })
        figures.push(...single.figures('one body'))
        await fetch(
          `${bodies} bodies in one command`,
          `FETCH 1:${bodies} (BODY.PEEK[])`,
          (_line, octets) => {
            if (octets < OCTETS / 2) empty++
          },
          bodies,
        )
        if (empty > 0) problems.push(`${empty} bodies were not whole`)
        const second = await log()
        await timed('SELECT again', () => second.command('SELECT INBOX'))
        second.close()
      })
      imap.close()
      return {
        figures: [...figures, figure('CPU for the reading', reading.cpu, 's'), ...reading.figures],
        ...(problems.length === 0 ? {} : { void: problems.join('; ') }),
      }
    } finally {
      await server.stop()
    }
  },
}

/** Fills INBOX by APPEND with non-synchronising literals (RFC 7888), many commands on their way at once. */
async function fill(imap: ImapClient, mails: number): Promise<void> {
  const to = `${localPart(0)}@${DOMAIN}`
  for (let first = 0; first < mails; first += APPEND_AT_ONCE) {
    const batch: Buffer[] = []
    for (let i = first; i < Math.min(mails, first + APPEND_AT_ONCE); i++) {
      const mail = i % 4 === 0 ? multipartMail(i, OCTETS, to) : sampleMail(i, OCTETS, to)
      batch.push(
        Buffer.concat([Buffer.from(`APPEND INBOX ${i % 3 === 0 ? '(\\Seen) ' : ''}{${mail.length}+}\r\n`), mail]),
      )
    }
    await imap.commands(batch)
  }
}
