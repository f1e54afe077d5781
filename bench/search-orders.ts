// `node scripts/run.cjs bench/search-orders.ts`: what searching, sorting and threading cost the IMAP library itself, on a mailbox of 100,000 messages whose store
// answers from memory. No socket, no disk: our own CPU, and the longest time that others had to wait.

import { Duplex } from 'node:stream'
import {
  ImapServerSession,
  joinKeys,
  type KeyField,
  type MailAccount,
  type Mailbox,
  type MailboxSnapshot,
} from '../packages/imap/src/index.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
const words = ['report', 'invoice', 'meeting', 'holiday', 'server', 'release', 'question', 'garden', 'music', 'budget']

let seed = 42
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}
const word = (): string => words[random(words.length)] ?? ''

/** One conversation in three messages on average. */
function keys(count: number): Record<KeyField, string[]> {
  const all = {
    subject: [],
    from: [],
    to: [],
    cc: [],
    displayFrom: [],
    displayTo: [],
    sent: [],
    threading: [],
  } as Record<KeyField, string[]>
  for (let i = 0; i < count; i++) {
    const answered = i > 0 && random(3) > 0 ? Math.max(0, i - 1 - random(300)) : -1
    const above = answered < 0 ? undefined : all.threading[answered]?.split('\n')
    const subject = answered < 0 ? `${word()} ${word()} ${random(20_000)}` : (all.subject[answered] ?? '')
    all.subject.push(subject)
    all.from.push(`user${random(3000)}`)
    all.to.push(`user${random(30)}`)
    all.cc.push('')
    all.displayFrom.push(`user ${random(3000)}`)
    all.displayTo.push(`user ${random(30)}`)
    all.sent.push(String(1_600_000_000_000 + i * 60_000 + random(3_600_000)))
    const references = above === undefined ? [] : [...above.slice(2), above[1] ?? ''].slice(-20)
    all.threading.push(
      [above === undefined ? '0' : '1', `message.${i}.${random(1e9)}@example.org`, ...references].join('\n'),
    )
  }
  return all
}

const store = keys(COUNT)
const cache = new Map<string, unknown>()
const snapshot: MailboxSnapshot = {
  uidValidity: 1,
  uidNext: COUNT + 1,
  highestModseq: 1,
  uids: Uint32Array.from({ length: COUNT }, (_, i) => i + 1),
  flags: Uint32Array.from({ length: COUNT }, () => random(4)),
  flagSets: [[], ['\\Seen'], ['\\Seen', '\\Answered'], ['\\Flagged']],
  modseqs: new Float64Array(COUNT).fill(1),
  sizes: Float64Array.from({ length: COUNT }, () => random(100_000)),
  internalDates: Float64Array.from({ length: COUNT }, (_, i) => 1_600_000_000_000 + i * 60_000),
  zones: new Int16Array(COUNT),
}
const refuse = async (): Promise<never> => {
  throw new Error('not measured')
}
const mailbox: Mailbox = {
  id: 'M',
  name: 'INBOX',
  uidValidity: 1,
  cache,
  keywords: async () => [],
  snapshot: async () => snapshot,
  delta: async () => ({ highestModseq: 1, uidNext: COUNT + 1, changed: [], vanished: [], complete: true }),
  claimRecent: async () => ({ from: 1, to: 1 }),
  store: refuse,
  expunge: refuse,
  copy: refuse,
  move: refuse,
  replace: refuse,
  raw: refuse,
  async *meta() {},
  async *keys(uids, field) {
    for (let at = 0; at < uids.length; at += 1000) {
      const some = uids.slice(at, at + 1000)
      yield { uids: some, keys: joinKeys(some.map((uid) => store[field][uid - 1] ?? '')) }
    }
  },
}
const account: MailAccount = {
  name: 'anna',
  appendLimit: 1,
  list: async () => [],
  create: refuse,
  delete: refuse,
  rename: refuse,
  subscribe: refuse,
  status: refuse,
  open: async () => mailbox,
  append: refuse,
  watch: () => () => undefined,
  close: () => undefined,
}

/** A peer in this process that reads everything at once. */
class Peer extends Duplex {
  #heard = ''
  #wanted = ''
  #done: (() => void) | undefined
  octets = 0

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, written: () => void): void {
    this.octets += chunk.length
    this.#heard = (this.#heard + chunk.subarray(-2000).toString('latin1')).slice(-4000)
    if (this.#done !== undefined && this.#heard.includes(`\n${this.#wanted} `)) {
      if (!this.#heard.includes(`\n${this.#wanted} OK`)) throw new Error(this.#heard)
      const done = this.#done
      this.#done = undefined
      done()
    }
    written()
  }

  ask(tag: string, command: string): Promise<void> {
    this.#wanted = tag
    return new Promise((resolve) => {
      this.#done = resolve
      this.push(`${tag} ${command}\r\n`)
    })
  }
}

const peer = new Peer()
new ImapServerSession(peer, {
  hostname: 'bench',
  login: async (user) => ({ authcid: user, authzid: user }),
  open: async () => account,
}).start()

let tags = 0
/** Milliseconds of CPU that this thread has used: what other programmes do meanwhile does not count. */
const spent = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
/** The longest turn of the event loop, by the clock: what the system counts of CPU comes in steps of 4 ms. The best of several runs had the least of other programmes. */
let longest = 0
let turn = performance.now()
let watching = true
const watch = (): void => {
  const now = performance.now()
  longest = Math.max(longest, now - turn)
  turn = now
  if (watching) setImmediate(watch)
}
setImmediate(watch)

async function measure(what: string, command: string, prepare?: () => void, times = 7): Promise<void> {
  const taken: number[] = []
  let held = Infinity
  for (let i = 0; i < times; i++) {
    prepare?.()
    longest = 0
    const before = spent()
    await peer.ask(`t${tags++}`, command)
    taken.push(spent() - before)
    held = Math.min(held, longest)
  }
  taken.sort((a, b) => a - b)
  const median = taken[taken.length >> 1] ?? 0
  console.log(
    `${what.padEnd(60)} ${median.toFixed(1).padStart(7)} ms CPU (best ${(taken[0] ?? 0).toFixed(1)})   longest turn ${held.toFixed(1)} ms`,
  )
}

await peer.ask('l', 'LOGIN a b')
await peer.ask('s', 'SELECT INBOX')
await measure('NOOP', 'NOOP')
const forget = (): void => cache.clear()
await measure('UID SEARCH RETURN (COUNT) UNSEEN', 'UID SEARCH RETURN (COUNT) UNSEEN')
await measure('UID SEARCH UNSEEN', 'UID SEARCH UNSEEN')
await measure('UID SEARCH RETURN (ALL) OR FLAGGED SINCE', 'UID SEARCH RETURN (ALL) OR FLAGGED SINCE 1-Oct-2020')
await measure('UID SEARCH RETURN (COUNT) SENTSINCE, first', 'UID SEARCH RETURN (COUNT) SENTSINCE 1-Jan-2019', forget)
for (const by of ['SUBJECT', 'FROM', 'DATE', 'REVERSE ARRIVAL', 'SIZE', 'SUBJECT DATE']) {
  const command = `UID SORT (${by}) UTF-8 ALL`
  await measure(`${command}, first`, command, forget)
  await measure(`${command}, again`, command)
  await measure(
    `${command.replace('SORT', 'SORT RETURN (COUNT MIN)')}, again`,
    command.replace('SORT', 'SORT RETURN (COUNT MIN)'),
  )
}
for (const by of ['REFERENCES', 'REFS', 'ORDEREDSUBJECT']) {
  const command = `UID THREAD ${by} UTF-8 ALL`
  await measure(`${command}, first`, command, forget)
  await measure(`${command}, again`, command)
}
await measure('UID THREAD REFERENCES UTF-8 SEEN', 'UID THREAD REFERENCES UTF-8 SEEN')
watching = false
peer.destroy()
