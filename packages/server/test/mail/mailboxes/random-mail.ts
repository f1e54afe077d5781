// Mail at random: many scripts, charsets and encodings, HTML, messages in messages. And what people might look for in it.

import type { TextQuery } from '@aviso/imap'

export type Random = () => number

/** Numbers from 0 to 1 (mulberry32). */
export function numbers(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T

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

function prose(random: Random, words: number): string {
  let text = ''
  for (let i = 0; i < words; i++)
    text += pick(random, WORDS) + pick(random, [' ', ' ', ' ', '\r\n', ', ', '', '_', '\t'])
  return text
}

const escapeHtml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

function html(random: Random, text: string): string {
  const marked = escapeHtml(text)
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
  return `<html><head><title>hidden title</title><style>p { color: red }</style></head><body><p class="cls">${marked.join(' ')}</p><script>var secret</script></body></html>`
}

function quotedPrintable(octets: Buffer): string {
  let out = ''
  let line = 0
  for (const octet of octets) {
    const plain = octet > 32 && octet < 127 && octet !== 61
    const piece = plain ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`
    if (line + piece.length > 60) {
      out += '=\r\n'
      line = 0
    }
    out += piece
    line += piece.length
  }
  return out
}

/** Texts in charsets that Node reads and does not write. */
const LEGACY: readonly (readonly [charset: string, octets: Buffer])[] = [
  ['iso-2022-jp', Buffer.from('\x1b$BF|K\\\x1b(B mail', 'latin1')],
  ['gb18030', Buffer.from('d6d0cec420746578742095328236', 'hex')],
  ['iso-8859-1', Buffer.from('Gr\xfc\xdfe aus K\xf6ln', 'latin1')],
  ['windows-1251', Buffer.from('cff0e8e2e5f2', 'hex')],
]

function textPart(random: Random): string {
  const text = prose(random, 1 + Math.floor(random() * 25))
  if (random() < 0.2) {
    const [charset, octets] = pick(random, LEGACY)
    return `Content-Type: text/plain; charset=${charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n${octets.toString('base64')}\r\n`
  }
  const kind = random() < 0.4 ? 'html' : pick(random, ['plain', 'plain', 'calendar'])
  const octets = Buffer.from(kind === 'html' ? html(random, text) : text)
  const encoding = pick(random, ['8bit', 'base64', 'quoted-printable'])
  const encoded =
    encoding === '8bit'
      ? octets.toString('latin1')
      : encoding === 'base64'
        ? octets.toString('base64').replace(/.{60}/g, '$&\r\n')
        : quotedPrintable(octets)
  return `Content-Type: text/${kind}; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${encoded}\r\n`
}

const encodedWord = (text: string): string => `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`

function fields(random: Random): string {
  const subject = prose(random, 1 + Math.floor(random() * 5)).replace(/[\r\n]/g, ' ')
  let text = `Subject: ${random() < 0.5 ? encodedWord(subject) : Buffer.from(subject).toString('latin1')}\r\n`
  text += `From: ${encodedWord(pick(random, WORDS))} <${pick(random, ['bo', 'anna', 'x.y'])}@example.net>\r\n`
  if (random() < 0.5) text += `To: anna@example.org,\r\n\tbo@example.net\r\nTo: again@example.org\r\n`
  if (random() < 0.3) text += `CC: ${encodedWord(prose(random, random() < 0.1 ? 3000 : 2))}\r\n`
  if (random() < 0.3) text += `X-Thing: ${pick(random, ['yes', 'No', '', 'a b c'])}\r\n`
  return text
}

/** A message in octets as characters. */
export function randomMail(random: Random, depth = 0): string {
  const head = fields(random)
  if (random() < 0.6 || depth > 2) return head + textPart(random)
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

/** Something to look for: a word, a piece of one, a phrase, or a piece of one of `texts` wherever that begins and ends. */
export function randomQuery(random: Random, texts: readonly string[]): TextQuery {
  const kind = random()
  let text: string
  if (kind < 0.35) {
    const source = pick(random, texts)
    const start = Math.floor(random() * source.length)
    text = source.slice(start, start + 1 + Math.floor(random() * 20))
  } else if (kind < 0.5) text = pick(random, WORDS)
  else {
    const characters = [...(kind < 0.85 ? pick(random, WORDS) : prose(random, 3))]
    const start = Math.floor(random() * characters.length)
    text = characters.slice(start, start + 1 + Math.floor(random() * 12)).join('')
  }
  if (random() < 0.3) text = text.toUpperCase()
  const where = random()
  if (where < 0.4) return { kind: 'body', text }
  if (where < 0.7) return { kind: 'text', text }
  const name = pick(random, ['Subject', 'FROM', 'to', 'Cc', 'bcc', 'X-Thing', 'Content-Type', 'Nope'])
  return { kind: 'header', name, text: random() < 0.1 ? '' : text }
}
