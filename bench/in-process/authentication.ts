// Measures mail authentication in this process, beside mailauth: checking what came (SPF, DKIM, DMARC, ARC) and signing, with a DNS that answers at once.
// `node scripts/run.cjs bench/in-process/authentication.ts [seconds per figure]`

import { generateKeyPairSync } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { authenticate } from 'mailauth'
import { dkimSign } from 'mailauth/lib/dkim/sign.js'
import { verifyArc } from '../../packages/server/src/mail/authentication/arc/verify.ts'
import { DkimKeys } from '../../packages/server/src/mail/authentication/dkim/key-record.ts'
import { signDkim } from '../../packages/server/src/mail/authentication/dkim/sign.ts'
import { verifyDkim } from '../../packages/server/src/mail/authentication/dkim/verify.ts'
import { evaluateDmarc } from '../../packages/server/src/mail/authentication/dmarc/evaluate.ts'
import { Message } from '../../packages/server/src/mail/authentication/message.ts'
import { checkHost } from '../../packages/server/src/mail/authentication/spf/check-host.ts'
import { SpfRecords } from '../../packages/server/src/mail/authentication/spf/record.ts'
import { publicRecord } from '../../packages/server/src/mail/keys/generate.ts'
import type { Answer, Resolver } from '../../packages/server/src/net/dns/contracts.ts'

const SECONDS = Number(process.argv[2] ?? 3)
const DOMAIN = 'example.org'
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ed25519 = generateKeyPairSync('ed25519').privateKey

/** As a large sender has it: an include, a second one, networks. */
const TXT: Readonly<Record<string, string>> = {
  [DOMAIN]: 'v=spf1 include:_spf.example.org include:_more.example.org -all',
  '_spf.example.org': `v=spf1 ${Array.from({ length: 12 }, (_, i) => `ip4:198.51.${i}.0/24`).join(' ')} ~all`,
  '_more.example.org': 'v=spf1 ip6:2001:db8::/32 ip4:192.0.2.0/24 ~all',
  [`r._domainkey.${DOMAIN}`]: publicRecord(rsa),
  [`e._domainkey.${DOMAIN}`]: publicRecord(ed25519),
  [`_dmarc.${DOMAIN}`]: 'v=DMARC1; p=reject; rua=mailto:dmarc@example.org',
}

const answer = <T>(records: readonly T[], name: string): Promise<Answer<T>> =>
  Promise.resolve({ records, exists: records.length > 0, secure: false, name, ttl: 300 })
const resolver: Pick<Resolver, 'a' | 'aaaa' | 'mx' | 'txt' | 'reverse'> = {
  a: (name) => answer<string>([], name),
  aaaa: (name) => answer<string>([], name),
  mx: (name) => answer<never>([], name),
  txt: (name) => answer(TXT[name] === undefined ? [] : [TXT[name]], name),
  reverse: (name) => answer<string>([], name),
}
const resolve = async (name: string, type: string): Promise<string[][]> => {
  const text = type === 'TXT' ? TXT[name] : undefined
  if (text === undefined) throw Object.assign(new Error('nothing'), { code: 'ENOTFOUND' })
  return [[text]]
}

function mail(octets: number): Buffer {
  const head = `Received: from a.example.org (a.example.org [192.0.2.9])\r\n\tby mx.example.net with ESMTPS id abc;\r\n\tThu, 1 Jan 2026 00:00:00 +0000\r\nFrom: Anna <anna@example.org>\r\nTo: ben@example.net\r\nSubject: =?utf-8?q?Hello_there?= and more\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n`
  const text =
    'Some words of a line that is as long as lines of mail are, more or less.\r\nAnd  a  second one\twith blanks. \r\n\r\n'
  const base64 = `${'QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg'.padEnd(76, 'A')}\r\n`
  const line = octets > 100_000 ? base64 : text
  return Buffer.from(head + line.repeat(Math.ceil((octets - head.length) / line.length)))
}

interface Figures {
  readonly cpu: number
  readonly stall: number
}

/** Milliseconds of CPU for one call, and how long the event loop was held (99 of 100 times less). */
async function measure(work: () => Promise<unknown>): Promise<Figures> {
  for (let i = 0; i < 5; i++) await work()
  const loop = monitorEventLoopDelay({ resolution: 1 })
  loop.enable()
  const before = process.cpuUsage()
  const end = performance.now() + SECONDS * 1000
  let count = 0
  while (performance.now() < end) {
    await work()
    count++
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { user, system } = process.cpuUsage(before)
  loop.disable()
  return { cpu: (user + system) / 1000 / count, stall: loop.percentile(99) / 1e6 }
}

const caches = { keys: new DkimKeys(), records: new SpfRecords() }
const now = Date.now()
const options = { keys: [{ domain: DOMAIN, selector: 'r', algorithm: 'rsa-sha256', key: rsa }], now } as const
const both = [...options.keys, { domain: DOMAIN, selector: 'e', algorithm: 'ed25519-sha256', key: ed25519 }] as const
const pem = rsa.export({ type: 'pkcs8', format: 'pem' }).toString()

async function check(bytes: Buffer): Promise<unknown> {
  const message = Message.of(bytes)
  const [spf, dkim, arc] = await Promise.all([
    checkHost({
      ip: '192.0.2.9',
      helo: 'a.example.org',
      sender: 'anna@example.org',
      resolver,
      records: caches.records,
    }),
    verifyDkim(message, { resolver, now, keys: caches.keys }),
    verifyArc(message, { resolver, now, keys: caches.keys }),
  ])
  const dmarc = await evaluateDmarc({ from: ['Anna <anna@example.org>'], spf, dkim: dkim.signatures, resolver })
  if (dmarc.status !== 'pass' || !dmarc.spfAligned || dmarc.dkimAligned.length !== 1) throw new Error(dmarc.reason)
  return arc
}

const rows: (readonly [what: string, ours: Figures, theirs: Figures])[] = []
for (const [name, octets] of [
  ['5 KiB', 5 * 1024],
  ['60 KiB', 60 * 1024],
  ['3 MiB', 3 * 1024 * 1024],
] as const) {
  const plain = mail(octets)
  const [field = ''] = await signDkim(Message.of(plain), options)
  const signed = Buffer.concat([Buffer.from(`${field}\r\n`), plain])
  rows.push([
    `check ${name} (SPF, DKIM rsa2048, DMARC, ARC none)`,
    await measure(() => check(signed)),
    await measure(() =>
      authenticate(signed, {
        ip: '192.0.2.9',
        helo: 'a.example.org',
        sender: 'anna@example.org',
        mta: 'mx.example.net',
        resolver: resolve,
        disableBimi: true,
      }),
    ),
  ])
  rows.push([
    `sign ${name}, rsa2048`,
    await measure(() => signDkim(Message.of(plain), options)),
    await measure(() =>
      dkimSign(plain, {
        signingDomain: DOMAIN,
        selector: 'r',
        privateKey: pem,
        signatureData: [{ signingDomain: DOMAIN, selector: 'r', privateKey: pem }],
      }),
    ),
  ])
}
const small = mail(5 * 1024)
const two = await measure(() => signDkim(Message.of(small), { ...options, keys: both }))

const ms = (value: number): string => value.toFixed(value < 1 ? 3 : 1).padStart(8)
console.log(
  `${''.padEnd(52)} ${'ms CPU'.padStart(8)} ${'stall'.padStart(8)}   ${'mailauth'.padStart(8)} ${'stall'.padStart(8)}`,
)
for (const [what, ours, theirs] of rows)
  console.log(`${what.padEnd(52)} ${ms(ours.cpu)} ${ms(ours.stall)}   ${ms(theirs.cpu)} ${ms(theirs.stall)}`)
console.log(`${'sign 5 KiB, rsa2048 and ed25519'.padEnd(52)} ${ms(two.cpu)} ${ms(two.stall)}`)
