// Measures the text index of the mail store in this process: how fast it is made, how large it is, how soon it answers.
// `node scripts/run.cjs bench/in-process/text-index.ts [messages] [unique tokens per message] [vocabulary]`

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MailAccount, TextQuery } from '@aviso/imap'
import { HandClock } from '../../packages/server/src/kernel/clock.ts'
import { silentLog } from '../../packages/server/src/kernel/log.ts'
import { Metrics } from '../../packages/server/src/kernel/metrics.ts'
import { SeededRandom } from '../../packages/server/src/kernel/random.ts'
import { Scope } from '../../packages/server/src/kernel/scope.ts'
import { openMailboxes } from '../../packages/server/src/mail/mailboxes/mailboxes.ts'
import { mailStore } from '../../packages/server/src/mail/mailboxes/store.ts'
import { openStore } from '../../packages/server/src/store/open.ts'
import { stores } from '../../packages/server/src/stores.ts'

const messages = Number(process.argv[2] ?? 100_000)
const unique = Number(process.argv[3] ?? 0)
const OCTETS = 4096

// ---- mail of a varied vocabulary: word n is some n^1.1 times rarer than the first ----

const VOCABULARY = Number(process.argv[4] ?? 120_000)
let state = 7
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const SYLLABLES =
  'ba be bi bo bu da de di do du fa fe ga ge go ha he hi ka ke ko la le li lo lu ma me mi mo na ne ni no pa pe po ra re ri ro ru sa se si so ta te ti to tu va ve vi wa we za zo sch str ung ein'.split(
    ' ',
  )
function word(number: number): string {
  let text = ''
  for (let rest = number + 60; rest > 0; rest = Math.floor(rest / SYLLABLES.length))
    text += SYLLABLES[rest % SYLLABLES.length]
  return text
}
const words = Array.from({ length: VOCABULARY }, (_, i) => word(i))
const anyWord = (): string => words[Math.min(VOCABULARY - 1, Math.floor(VOCABULARY ** random()) - 1)] ?? ''

function mail(number: number): Uint8Array {
  const id = (length: number): string => {
    let text = ''
    while (text.length < length) text += Math.floor(random() * 2 ** 40).toString(36)
    return text.slice(0, length)
  }
  const subject = Array.from({ length: 6 }, anyWord).join(' ')
  let text =
    `Return-Path: <sender${number % 700}@elsewhere.example>\r\nReceived: from mx${number % 9}.elsewhere.example (mx.elsewhere.example [192.0.2.${number % 250}])\r\n\tby mail.example.org (Aviso) with ESMTPS id ${id(14)}\r\n\tfor <anna@example.org>; Mon, 2 Feb 2026 10:00:00 +0100\r\n` +
    `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=elsewhere.example;\r\n\ts=s1; h=from:to:subject:date; bh=${id(43)}=;\r\n\tb=${id(60)}\r\n\t ${id(60)}/${id(20)}+${id(30)}==\r\n` +
    `From: ${anyWord()} ${words[number % 700] ?? ''} <sender${number % 700}@elsewhere.example>\r\nTo: anna@example.org\r\nSubject: ${subject}\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\nMessage-ID: <${id(24)}@elsewhere.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n`
  if (number % 10_000 === 77) text += 'needleinhaystack '
  for (let i = 0; i < unique; i++) text += `https://example.org/${id(16)}\r\n`
  let line = ''
  while (text.length < OCTETS) {
    line += `${anyWord()}${random() < 0.1 ? ',' : ''} `
    if (line.length > 66) {
      text += `${line}\r\n`
      line = ''
    }
  }
  return Buffer.from(text)
}

// ---- the measurement ----

const folder = mkdtempSync(join(tmpdir(), 'aviso-index-'))
// The clock stands still, so that nothing indexes in the background meanwhile.
const scope = Scope.root({
  log: silentLog(),
  metrics: new Metrics(),
  clock: new HandClock(),
  random: new SeededRandom(7),
})
const here = process.env['INLINE'] === '1'
const store = await openStore(scope, {
  folder,
  definitions: stores,
  ...(here ? {} : { worker: new URL('../../packages/server/src/store-worker.ts', import.meta.url), threads: 1 }),
})
const mailboxes = openMailboxes(scope, store)
const account = {
  id: 'anna',
  address: 'anna@example.org',
  local: 'anna',
  domain: 'example.org',
  role: 'user',
  disabled: false,
} as const
await mailboxes.room.create(account)
const anna: MailAccount = mailboxes.open(account)
const calls = store.account(mailStore, 'anna')
const size = (): number => {
  try {
    return statSync(join(folder, 'accounts/na/anna/account.db')).size
  } catch {
    return 0
  }
}
const memory = (): string => `${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB RSS`

/** Milliseconds of processor time so far: what counts on a machine that others use. */
const cpu = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
let begin = performance.now()
// Past the room, which would have it indexed in step.
for (let i = 0; i < messages; i += 64)
  await calls.append({
    name: 'INBOX',
    messages: Array.from({ length: Math.min(64, messages - i) }, (_, j) => ({
      message: { bytes: mail(i + j) },
      flags: [],
      internalDate: undefined,
      zone: undefined,
    })),
    limits: { octets: undefined, messages: undefined, mailboxes: undefined },
  })
console.log(
  `appended ${messages} in ${Math.round(performance.now() - begin)} ms, ${(size() / 2 ** 20).toFixed(0)} MiB, ${memory()}`,
)
const before = size()
begin = performance.now()
const cpuBegin = cpu()
let slices = 0
const took: number[] = []
for (;;) {
  const one = cpu()
  const { more } = await calls.searchCatchUp({})
  took.push(cpu() - one)
  if (!more) break
  slices++
}
const ms = performance.now() - begin
const cpuMs = cpu() - cpuBegin
took.sort((a, b) => a - b)
const at = (q: number): string => (took[Math.floor(took.length * q)] ?? 0).toFixed(1)
console.log(
  `indexed in ${Math.round(ms)} ms, ${Math.round(cpuMs)} ms of processor: ${Math.round((messages / cpuMs) * 1000)} messages/s; ${slices} slices of median ${at(0.5)}, p99 ${at(0.99)}, longest ${at(0.9999)} ms; file grew ${((size() - before) / 2 ** 20).toFixed(1)} MiB; ${memory()}`,
)

const inbox = await anna.open('INBOX')
const uids = Array.from((await inbox.snapshot()).uids)
const queries: readonly (readonly [string, TextQuery])[] = [
  ['SUBJECT rare', { kind: 'header', name: 'Subject', text: words[VOCABULARY >> 1] ?? '' }],
  ['SUBJECT frequent', { kind: 'header', name: 'Subject', text: words[1] ?? '' }],
  ['SUBJECT two words', { kind: 'header', name: 'Subject', text: `${words[1]} ${words[2]}` }],
  ['FROM', { kind: 'header', name: 'From', text: 'sender42@' }],
  ['HEADER Message-ID', { kind: 'header', name: 'Message-ID', text: '@elsewhere.example' }],
  ['BODY rare', { kind: 'body', text: 'needleinhaystack' }],
  ['BODY nothing', { kind: 'body', text: 'qqqqqqqq' }],
  ['BODY middle', { kind: 'body', text: 'edleinhayst' }],
  ['BODY word 5000', { kind: 'body', text: words[5000] ?? '' }],
  ['BODY frequent', { kind: 'body', text: words[1] ?? '' }],
  ['BODY 2 letters', { kind: 'body', text: 'sc' }],
  ['BODY 1 letter', { kind: 'body', text: 'e' }],
  ['BODY two words', { kind: 'body', text: `${words[900]} ${words[1200]}` }],
  ['TEXT rare', { kind: 'text', text: 'needleinhaystack' }],
  ['TEXT word 5000', { kind: 'text', text: words[5000] ?? '' }],
  ['TEXT address', { kind: 'text', text: 'sender42@elsewhere' }],
]
for (const [name, query] of queries) {
  const times: number[] = []
  let found = 0
  const cpuStart = cpu()
  for (let i = 0; i < 7; i++) {
    const start = performance.now()
    found = 0
    for await (const batch of inbox.find?.(query, uids) ?? []) found += batch.uids.length
    times.push(performance.now() - start)
    if ((times[0] ?? 0) > 1000) break
  }
  const each = (cpu() - cpuStart) / times.length
  const [first = 0] = times
  times.sort((a, b) => a - b)
  console.log(
    `${name.padEnd(20)} ${String(found).padStart(7)} found   first ${first.toFixed(1)} ms   median ${(times[times.length >> 1] ?? 0).toFixed(1)} ms   processor ${each.toFixed(1)} ms   ${JSON.stringify(query.text)}`,
  )
}
console.log(memory())
anna.close()
await scope.close()
rmSync(folder, { recursive: true, force: true })
