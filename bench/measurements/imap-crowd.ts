// What one client does to the others: a NOOP while somebody scans a large mailbox, and memory while ten fetch a whole mailbox of large messages.

import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { ImapClient } from '../clients/imap.ts'
import { localPart, logins } from '../clients/logins.ts'
import { type Figure, figure, Latencies } from '../figures.ts'
import { underLoad } from '../load.ts'
import type { Measurement } from '../measurement.ts'
import { multipartMail, sampleMail } from '../sample-mail.ts'
import { DOMAIN, Server } from '../server.ts'

const OCTETS = 4096
const MIB = 1024 * 1024
const LARGE_OCTETS = 4 * MIB
const APPEND_AT_ONCE = 50
const READERS = 10
const LOOK_MS = 50

/** What the scanning client does, over and over. */
const SCANS = [
  'FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)',
  'FETCH 1:* (ENVELOPE BODYSTRUCTURE)',
  'UID SEARCH TEXT "nobody had"',
  'UID SORT (SUBJECT) UTF-8 ALL',
  'UID THREAD REFERENCES UTF-8 ALL',
  'STORE 1:* +FLAGS.SILENT ($Scanned)',
  'STORE 1:* -FLAGS.SILENT ($Scanned)',
]

export const imapCrowd: Measurement = {
  name: 'imap-crowd',
  summary: 'NOOP of one client while another scans 100,000 messages; memory while ten clients fetch 1 GB each',

  async measure({ quick, provisioned }) {
    const server = await Server.start(provisioned)
    const log = (user: number): Promise<ImapClient> =>
      ImapClient.connect(server.reach, server.ports.imaps, logins, localPart(user))
    try {
      return { figures: [...(await neighbours(server, log, quick)), ...(await readers(server, log, quick))] }
    } finally {
      await server.stop()
    }
  },
}

async function neighbours(
  server: Server,
  log: (user: number) => Promise<ImapClient>,
  quick: boolean,
): Promise<Figure[]> {
  const mails = quick ? 5000 : 100_000
  const scanner = await log(0)
  await append(scanner, mails, (i, to) => (i % 4 === 0 ? multipartMail(i, OCTETS, to) : sampleMail(i, OCTETS, to)))
  const figures: Figure[] = []
  for (const [name, user] of [
    ['of another account', 1],
    ['of the same account', 0],
  ] as const) {
    const neighbour = await log(user)
    await neighbour.command('SELECT INBOX')
    await scanner.command('SELECT INBOX')
    const noop = new Latencies()
    const load = await underLoad(server, async () => {
      const over = new AbortController()
      const scan = (async () => {
        for (const command of SCANS) await scanner.command(command)
      })().finally(() => over.abort())
      while (!over.signal.aborted) {
        const begun = performance.now()
        await neighbour.command('NOOP')
        noop.add(performance.now() - begun)
        await pause(1)
      }
      await scan
    })
    figures.push(...noop.figures(`NOOP ${name}`), ...load.figures)
    neighbour.close()
  }
  scanner.close()
  return figures
}

async function readers(server: Server, log: (user: number) => Promise<ImapClient>, quick: boolean): Promise<Figure[]> {
  const mails = quick ? 8 : 256
  const writer = await log(2)
  await append(writer, mails, (i, to) => sampleMail(i, LARGE_OCTETS, to), 1)
  writer.close()
  const before = server.memory()?.rss
  const clients = await Promise.all(Array.from({ length: READERS }, () => log(2)))
  for (const client of clients) await client.command('SELECT INBOX')
  let highest = 0
  const over = new AbortController()
  const look = (async () => {
    while (!over.signal.aborted) {
      highest = Math.max(highest, server.memory()?.rss ?? 0)
      await pause(LOOK_MS)
    }
  })()
  const begun = performance.now()
  await Promise.all(clients.map((client) => client.command('FETCH 1:* (BODY.PEEK[])')))
  const seconds = (performance.now() - begun) / 1000
  over.abort()
  await look
  for (const client of clients) client.close()
  const megabytes = (READERS * mails * LARGE_OCTETS) / 1e6
  return [
    figure('memory before the reading', before === undefined ? undefined : before / MIB, 'MiB'),
    figure(`memory at most while ${READERS} clients read`, highest / MIB, 'MiB'),
    figure('read by all', megabytes / seconds, 'MB/s'),
  ]
}

async function append(
  imap: ImapClient,
  mails: number,
  mail: (number: number, to: string) => Buffer,
  atOnce = APPEND_AT_ONCE,
): Promise<void> {
  for (let at = 0; at < mails; at += atOnce) {
    const batch: Buffer[] = []
    for (let i = at; i < Math.min(mails, at + atOnce); i++) {
      const octets = mail(i, `${localPart(0)}@${DOMAIN}`)
      batch.push(Buffer.concat([Buffer.from(`APPEND INBOX {${octets.length}+}\r\n`), octets]))
    }
    await imap.commands(batch)
  }
}
