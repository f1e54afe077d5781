// One INBOX of 100,000 messages, as mail programs use it: Aviso, and beside it Dovecot on the same machine in the same run, where it is installed.

import { mkdtempSync, rmSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { ImapClient } from '../clients/imap.ts'
import { localPart, logins } from '../clients/logins.ts'
import { type Figure, figure } from '../figures.ts'
import type { Measurement } from '../measurement.ts'
import { Dovecot, dovecotAvailable } from '../peers/dovecot.ts'
import { multipartMail, sampleMail } from '../sample-mail.ts'
import { DOMAIN, type Server, Server as AvisoServer } from '../server.ts'

const OCTETS = 4096
const APPEND_AT_ONCE = 50
const REPEATS = 5
/** Lines that take no longer than this, in milliseconds, are repeated more often: their first times are those of code that is still being compiled. */
const SHORT = 10
const SHORT_REPEATS = 101
const DURABLE_APPENDS = 500
/** Messages on which the client's code is compiled. */
const WARM_UP = 2000

const THUNDERBIRD =
  'RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]'

/** Something that speaks IMAP and can be started again. */
interface Peer {
  readonly name: string
  /** Logs in; without a number, to the account that is measured. */
  connect(account?: number): Promise<ImapClient>
  restart(): Promise<void>
  /** Resolves when it has nothing more to do of its own accord. */
  rest(): Promise<void>
}

/** One line of the table: a command, and how many answers of which kind it must have. */
interface Line {
  readonly name: string
  readonly command: string
  readonly answers?: { readonly pattern: RegExp; readonly count: number }
  /** What is done after each time, unmeasured. */
  readonly undo?: string
}

function lines(mails: number): readonly Line[] {
  const some = Math.min(mails, 20_000)
  const tenth = Math.min(mails, 10_000)
  const fetched = (count: number) => ({ pattern: /^\* \d+ FETCH /, count })
  return [
    { name: 'FETCH 1:* (FLAGS)', command: 'FETCH 1:* (FLAGS)', answers: fetched(mails) },
    {
      name: 'FETCH 1:* flags, date, size',
      command: 'FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)',
      answers: fetched(mails),
    },
    { name: 'ENVELOPE of 20k', command: `FETCH 1:${some} (ENVELOPE)`, answers: fetched(some) },
    { name: 'BODYSTRUCTURE of 20k', command: `FETCH 1:${some} (BODYSTRUCTURE)`, answers: fetched(some) },
    { name: "Thunderbird's headers of 20k", command: `UID FETCH 1:${some} (${THUNDERBIRD})`, answers: fetched(some) },
    { name: 'UID SEARCH flags', command: 'UID SEARCH UNSEEN NOT FLAGGED' },
    { name: 'UID SEARCH SUBJECT', command: 'UID SEARCH SUBJECT "ships were"' },
    { name: 'UID SEARCH BODY, a rare word', command: `UID SEARCH BODY "${Math.floor(mails / 2)}."` },
    { name: 'UID SEARCH BODY, within a word', command: 'UID SEARCH BODY arbou' },
    { name: 'SORT (SUBJECT)', command: 'UID SORT (SUBJECT) UTF-8 ALL' },
    { name: 'SORT (DATE)', command: 'UID SORT (DATE) UTF-8 ALL' },
    { name: 'THREAD REFERENCES', command: 'UID THREAD REFERENCES UTF-8 ALL' },
    {
      name: 'STORE on 10k',
      command: `STORE 1:${tenth} +FLAGS.SILENT (\\Answered)`,
      undo: `STORE 1:${tenth} -FLAGS.SILENT (\\Answered)`,
    },
  ]
}

export const imapLarge: Measurement = {
  name: 'imap-large',
  summary: 'one INBOX of 100,000 messages over TLS: first access after a restart, and the median when warm',

  async measure({ quick, provisioned }) {
    const mails = quick ? 5000 : 100_000
    let aviso = await AvisoServer.start(provisioned)
    const folder = mkdtempSync(join(tmpdir(), 'dovecot-'))
    chmodSync(folder, 0o755)
    const { certificate, key } = aviso.certificate
    let dovecot = dovecotAvailable() ? await Dovecot.start(folder, certificate, key) : undefined
    const figures: Figure[] = []
    const problems: string[] = []
    try {
      const peers: Peer[] = [
        {
          name: 'Aviso',
          connect: (account = 0) => ImapClient.connect(aviso.reach, aviso.ports.imaps, logins, localPart(account)),
          restart: async () => void (aviso = await restarted(aviso)),
          rest: () => atRest(aviso),
        },
      ]
      if (dovecot !== undefined)
        peers.push({
          name: 'Dovecot',
          connect: (account = 0) => ImapClient.connect(aviso.reach, dovecot?.port ?? 0, logins, localPart(account)),
          restart: async () => {
            await dovecot?.stop()
            dovecot = await Dovecot.start(folder, certificate, key)
          },
          // It has no index to bring up to date.
          rest: () => Promise.resolve(),
        })
      for (const peer of peers) await fill(peer, mails, 0)
      // The client's own code is compiled by then, whoever is measured first; on a mailbox of its own, as Dovecot keeps what was asked for once.
      for (const peer of peers) {
        await fill(peer, WARM_UP, 1)
        await first(peer, WARM_UP, [], 1)
      }
      for (const peer of peers) {
        await peer.rest()
        await peer.restart()
        for (const one of await first(peer, mails, problems)) figures.push(one)
      }
      for (const one of await warm(peers, mails, problems)) figures.push(one)
      for (const peer of peers) figures.push(await durable(peer))
    } finally {
      await dovecot?.stop()
      await aviso.stop()
      rmSync(folder, { recursive: true, force: true })
    }
    return { figures, ...(problems.length === 0 ? {} : { void: problems.join('; ') }) }
  },
}

const restarted = (server: Server): Promise<Server> => server.restart()

/** Waits until the server needs no processor time: its text index has followed. */
async function atRest(server: Server): Promise<void> {
  for (let before = server.cpu(), now: number | undefined; ; before = now) {
    await pause(LOOK_MS)
    now = server.cpu()
    if (before === undefined || now === undefined || now - before < IDLE_SECONDS) return
  }
}
const LOOK_MS = 5000
/** Processor time of an idle server in that time. */
const IDLE_SECONDS = 0.1

async function run(imap: ImapClient, line: Line, problems: string[], peer: string): Promise<number> {
  let count = 0
  const begun = performance.now()
  await imap.command(line.command, (text) => {
    if (line.answers?.pattern.test(text) === true) count++
  })
  const time = performance.now() - begun
  if (line.answers !== undefined && count !== line.answers.count)
    problems.push(`${peer}, ${line.name}: ${count} of ${line.answers.count} answers`)
  if (line.undo !== undefined) await imap.command(line.undo)
  return time
}

/** Everything once, just after a restart. */
async function first(peer: Peer, mails: number, problems: string[], account = 0): Promise<Figure[]> {
  const imap = await peer.connect(account)
  const figures: Figure[] = []
  const begun = performance.now()
  await imap.command('SELECT INBOX')
  figures.push(figure(`${peer.name}, first: SELECT`, performance.now() - begun, 'ms'))
  for (const line of lines(mails))
    figures.push(figure(`${peer.name}, first: ${line.name}`, await run(imap, line, problems, peer.name), 'ms'))
  imap.close()
  return figures
}

/** The peers in turn, line by line, so that what else the machine does hits them alike. */
async function warm(peers: readonly Peer[], mails: number, problems: string[]): Promise<Figure[]> {
  const figures: Figure[] = []
  const clients = await Promise.all(peers.map((peer) => peer.connect()))
  for (const line of [{ name: 'SELECT', command: 'SELECT INBOX' }, ...lines(mails)]) {
    const times = peers.map((): number[] => [])
    const repeat = async (count: number): Promise<void> => {
      for (const some of times) some.length = 0
      for (let n = 0; n < count; n++)
        for (const [i, peer] of peers.entries()) {
          const imap = clients[i]
          if (imap !== undefined) times[i]?.push(await run(imap, line, problems, peer.name))
        }
    }
    await repeat(REPEATS)
    if (times.every((some) => median(some) < SHORT)) await repeat(SHORT_REPEATS)
    for (const [i, peer] of peers.entries())
      figures.push(figure(`${peer.name}, warm: ${line.name}`, median(times[i] ?? []), 'ms'))
  }
  for (const imap of clients) imap.close()
  return figures
}

/** APPEND one after the other: each answered only when it is durable. As with the other lines, the first ones are those of a server that has just been started, and not counted. */
async function durable(peer: Peer): Promise<Figure> {
  const imap = await peer.connect()
  for (let i = 0; i < DURABLE_APPENDS; i++) await imap.command(appendCommand(1_000_000 + i))
  const begun = performance.now()
  for (let i = DURABLE_APPENDS; i < 2 * DURABLE_APPENDS; i++) await imap.command(appendCommand(1_000_000 + i))
  const seconds = (performance.now() - begun) / 1000
  imap.close()
  return figure(`${peer.name}: APPEND, one after the other`, DURABLE_APPENDS / seconds, '/s')
}

/** Fills INBOX by APPEND with non-synchronising literals (RFC 7888), many commands on their way at once. */
async function fill(peer: Peer, mails: number, account: number): Promise<void> {
  const imap = await peer.connect(account)
  for (let at = 0; at < mails; at += APPEND_AT_ONCE) {
    const batch: Buffer[] = []
    for (let i = at; i < Math.min(mails, at + APPEND_AT_ONCE); i++) batch.push(appendCommand(i))
    await imap.commands(batch)
  }
  imap.close()
}

function appendCommand(number: number): Buffer {
  const to = `${localPart(0)}@${DOMAIN}`
  const mail = number % 4 === 0 ? multipartMail(number, OCTETS, to) : sampleMail(number, OCTETS, to)
  return Buffer.concat([Buffer.from(`APPEND INBOX ${number % 3 === 0 ? '(\\Seen) ' : ''}{${mail.length}+}\r\n`), mail])
}

function median(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? NaN
}
