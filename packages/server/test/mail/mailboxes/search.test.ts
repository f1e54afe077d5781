// Text search: what the index answers is what looking at each message would.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { matchesText, type Mailbox, type TextQuery } from '@aviso/imap'
import fc from 'fast-check'
import { account, type House, message, openHouse } from './fixture.ts'

async function found(mailbox: Mailbox, query: TextQuery, uids?: readonly number[]): Promise<number[]> {
  const list = uids ?? Array.from((await mailbox.snapshot()).uids)
  const all: number[] = []
  assert.ok(mailbox.find)
  for await (const { uids: batch, progress } of mailbox.find(query, list)) {
    for (const uid of batch) assert.ok(uid > (all.at(-1) ?? 0), 'UIDs ascend over all batches')
    assert.ok(progress > 0 && progress <= 1)
    all.push(...batch)
  }
  return all
}

async function looked(mailbox: Mailbox, query: TextQuery): Promise<number[]> {
  const all: number[] = []
  for (const uid of (await mailbox.snapshot()).uids) {
    const bytes = await mailbox.raw(uid)
    if (bytes !== undefined && matchesText(query, bytes)) all.push(uid)
  }
  return all
}

const body = (text: string): TextQuery => ({ kind: 'body', text })
const anywhere = (text: string): TextQuery => ({ kind: 'text', text })
const field = (name: string, text: string): TextQuery => ({ kind: 'header', name, text })

async function withHouse(run: (house: House) => Promise<void>): Promise<void> {
  const house = await openHouse()
  try {
    await house.mailboxes.room.create(account('anna'))
    await run(house)
  } finally {
    await house.close()
  }
}

let deliveries = 0
async function deliver(house: House, bytes: Uint8Array, mailbox = 'INBOX'): Promise<number> {
  const { uid } = await house.mailboxes.deliver('anna', { bytes, mailbox, deliveryId: `d${deliveries++}` })
  return uid
}

// ---- random mail ----

/** Numbers from 0 to 1 (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const pick = <T>(random: () => number, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T

const WORDS: readonly string[] = [
  ...'the harbour lay quiet that morning asdfghjkl internationalisation a an I of report42 2024 3.14 e-mail'.split(' '),
  ...'Straße Größe Ärger Übung Weiß STRASSE naïve café cafe\u0301 Ångström İstanbul ıgdır þing Þórr'.split(' '),
  ...'Οδυσσέας ΟΔΟΣ οδός Σίσυφος θάλασσα Москва привет Ёлка'.split(' '),
  ...'漢字 日本語の文章 東京都 サーバー ｶﾀｶﾅ 한국어 ภาษาไทย 中文字符 𠮷野家 か\u3099'.split(' '),
  ...'😀 👩‍👩‍👧 ❤️ 🇩🇪 ﬁne oﬃce ①② Ⅷ ｆｕｌｌ x² ½ €100 ©2024 ™'.split(' '),
  ...'so\u00adft zero\u200bwidth a\u0323\u0307 q\u0307\u0323 שָׁלוֹם العربية हिन्दी'.split(' '),
  'https://example.org/path?query=value&other=1#frag',
  'a'.repeat(64),
  `b${'c'.repeat(64)}`,
  `${'xyz'.repeat(40)}end`,
  '<3',
  'Fish&Chips',
  '--',
  '...',
]

function prose(random: () => number, words: number): string {
  let text = ''
  for (let i = 0; i < words; i++)
    text += pick(random, WORDS) + pick(random, [' ', ' ', ' ', '\r\n', ', ', '', '_', '\t'])
  return text
}

const escapeHtml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const html = (random: () => number, text: string): string =>
  `<html><head><title>hidden title</title><style>p { color: red }</style></head><body><p class="cls">${escapeHtml(text)
    .split(' ')
    .map((word) =>
      pick(random, [
        word,
        word,
        `<b>${word}</b>`,
        `${word}<br>`,
        `<!-- comment -->${word}`,
        `${word}&nbsp;&auml;&#x4e2d;`,
      ]),
    )
    .join(' ')}</p><script>var secret</script></body></html>`

function quotedPrintable(octets: Buffer): string {
  let out = ''
  let line = 0
  for (const octet of octets) {
    const piece =
      octet > 32 && octet < 127 && octet !== 61
        ? String.fromCharCode(octet)
        : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`
    if (line + piece.length > 60) {
      out += '=\r\n'
      line = 0
    }
    out += piece
    line += piece.length
  }
  return out
}

/** "日本" and "Grüße" in charsets that Node cannot write. */
const LEGACY: readonly (readonly [string, Buffer])[] = [
  ['iso-2022-jp', Buffer.from('\x1b$BF|K\\\x1b(B mail', 'latin1')],
  ['gb18030', Buffer.from('d6d0cec420746578742095328236', 'hex')],
  ['iso-8859-1', Buffer.from('Gr\xfc\xdfe aus K\xf6ln', 'latin1')],
  ['windows-1251', Buffer.from('cff0e8e2e5f2', 'hex')],
]

function textPart(random: () => number): string {
  const text = prose(random, 1 + Math.floor(random() * 25))
  if (random() < 0.2) {
    const [charset, octets] = pick(random, LEGACY)
    return `Content-Type: text/plain; charset=${charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n${octets.toString('base64')}\r\n`
  }
  const kind = random() < 0.4 ? 'html' : pick(random, ['plain', 'plain', 'calendar'])
  const octets = Buffer.from(kind === 'html' ? html(random, text) : text)
  const head = `Content-Type: text/${kind}; charset=utf-8\r\n`
  const encoding = pick(random, ['8bit', 'base64', 'quoted-printable'])
  const encoded =
    encoding === '8bit'
      ? octets.toString('latin1')
      : encoding === 'base64'
        ? octets.toString('base64').replace(/.{60}/g, '$&\r\n')
        : quotedPrintable(octets)
  return `${head}Content-Transfer-Encoding: ${encoding}\r\n\r\n${encoded}\r\n`
}

const encodedWord = (text: string): string => `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`

function fields(random: () => number): string {
  const subject = prose(random, 1 + Math.floor(random() * 5)).replace(/[\r\n]/g, ' ')
  let text =
    random() < 0.5 ? `Subject: ${encodedWord(subject)}\r\n` : `Subject: ${Buffer.from(subject).toString('latin1')}\r\n`
  text += `From: ${encodedWord(pick(random, WORDS))} <${pick(random, ['bo', 'anna', 'x.y'])}@example.net>\r\n`
  if (random() < 0.5) text += `To: anna@example.org,\r\n\tbo@example.net\r\nTo: again@example.org\r\n`
  if (random() < 0.3) text += `CC: ${encodedWord(prose(random, 3000 * Number(random() < 0.1) + 2))}\r\n`
  if (random() < 0.3) text += `X-Thing: ${pick(random, ['yes', 'No', '', 'a b c'])}\r\n`
  return text
}

function randomMail(random: () => number, depth = 0): string {
  const head = fields(random)
  const form = random()
  if (form < 0.6 || depth > 2) return head + textPart(random)
  const boundary = `b${depth}`
  const parts = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const kind = random()
    if (kind < 0.2) return `Content-Type: message/rfc822\r\n\r\n${randomMail(random, depth + 1)}`
    if (kind < 0.3)
      return `Content-Type: application/octet-stream; name="${pick(random, ['report.pdf', 'list.bin'])}"\r\n\r\nunsearched octets\r\n`
    if (kind < 0.4) return `Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; lost@example.net\r\n`
    return textPart(random)
  })
  return `${head}Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\npreamble\r\n${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`
}

/** A piece of what is in the mail somewhere, of what people would type. */
function needle(random: () => number): string {
  const text = random() < 0.7 ? pick(random, WORDS) : prose(random, 3)
  const characters = [...text]
  const start = Math.floor(random() * characters.length)
  const piece = random() < 0.3 ? text : characters.slice(start, start + 1 + Math.floor(random() * 12)).join('')
  return random() < 0.3 ? piece.toUpperCase() : piece
}

function randomQuery(random: () => number): TextQuery {
  const text = needle(random)
  const kind = random()
  if (kind < 0.4) return body(text)
  if (kind < 0.7) return anywhere(text)
  return field(
    pick(random, ['Subject', 'FROM', 'to', 'Cc', 'bcc', 'X-Thing', 'Content-Type', 'Nope']),
    random() < 0.1 ? '' : text,
  )
}

describe('search of text', () => {
  it('property: finds what looking at each message would, whatever the state of the index', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = numbers(seed)
        await withHouse(async (house) => {
          const anna = house.open()
          await anna.create('Other')
          const inbox = await anna.open('INBOX')
          const other = await anna.open('Other')
          const check = async (): Promise<void> => {
            for (let i = 0; i < 15; i++) {
              const query = randomQuery(random)
              for (const mailbox of [inbox, other])
                assert.deepEqual(await found(mailbox, query), await looked(mailbox, query), JSON.stringify(query))
            }
          }
          for (let i = 0; i < 110; i++)
            await deliver(house, Buffer.from(randomMail(random), 'latin1'), pick(random, ['INBOX', 'INBOX', 'Other']))
          await check()
          await house.mailboxes.index('anna')
          await check()
          for (let i = 0; i < 20; i++) {
            await deliver(house, Buffer.from(randomMail(random), 'latin1'), pick(random, ['INBOX', 'Other']))
            if (random() < 0.5) await house.mailboxes.index('anna')
          }
          await check()
          await inbox.copy([3, 5, 7, 20, 21], 'Other')
          await inbox.copy([4, 4, 9], 'INBOX')
          await inbox.store([1, 2, 3, 8, 13, 21, 34, 55], { action: 'add', flags: ['\\Deleted'] })
          await inbox.expunge([1, 2, 3, 8, 13, 21, 34, 55])
          await inbox.move([30, 31], 'Other')
          await check()
          house.clock.turn(8 * 86_400_000)
          while (await house.mailboxes.sweep('anna'));
          await house.mailboxes.index('anna')
          await check()
          await house.mailboxes.reindex('anna')
          await check()
        })
      }),
      { numRuns: 2 },
    )
  })
})
void message
