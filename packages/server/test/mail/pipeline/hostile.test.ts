// What a stranger may put into a message so that the server works for him and nobody else.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SmtpError } from '@aviso/smtp'
import { openHouse } from './house.ts'

/** About the largest header that is taken. */
const HEADER = 1_000_000

const repeated = (field: string): string => field.repeat(Math.floor(HEADER / field.length))
const headed = (fields: string, body = 'hi\r\n'): string => `${fields}\r\n${body}`
const FROM = 'From: bo@example.net\r\nSubject: x\r\n'

const nested = (depth: number): string => {
  const open = Array.from(
    { length: depth },
    (_, i) => `--b${i}\r\nContent-Type: multipart/mixed; boundary=b${i + 1}\r\n\r\n`,
  )
  return headed(`${FROM}Content-Type: multipart/mixed; boundary=b0\r\n`, `${open.join('')}--b${depth}\r\n\r\nhi\r\n`)
}

const bombs: readonly (readonly [name: string, message: string])[] = [
  ['results that claim to be ours', headed(FROM + repeated('Authentication-Results: mail.example.org; spf=pass\r\n'))],
  ['From fields', headed(repeated('From: bo@example.net\r\n'))],
  ['small fields', headed(FROM + repeated('a:\r\n'))],
  ['Received fields', headed(FROM + repeated('Received: by x\r\n'))],
  [
    'signatures',
    headed(FROM + repeated('DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; h=from; bh=AA==; b=AA==\r\n')),
  ],
  [
    'a signature over many names',
    headed(
      `${FROM}DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; bh=AA==; b=AA==; h=from${repeated(':from')}\r\n`,
    ),
  ],
  ['tags of a signature', headed(`${FROM}DKIM-Signature: v=1;${repeated(' b=;')}\r\n`)],
  [
    'seals',
    headed(
      FROM +
        repeated('ARC-Seal: i=1; cv=none\r\nARC-Message-Signature: i=1;\r\nARC-Authentication-Results: i=1; x\r\n'),
    ),
  ],
  ['recipients in To', headed(`${FROM}To: ${repeated('a@b.example,\r\n ')}c@d.example\r\n`)],
  ['open comments', headed(`${FROM}To: ${repeated('(')}\r\n`)],
  ['open quotes', headed(`${FROM}To: ${repeated('"a" <')}\r\n`)],
  ['open groups', headed(`${FROM}To: ${repeated('a:')}\r\n`)],
  ['encoded words', headed(`From: bo@example.net\r\nSubject: ${repeated('=?utf-8?q?=C3?=\r\n ')}x\r\n`)],
  ['Re: in a Subject', headed(`From: bo@example.net\r\nSubject: ${repeated('Re: ')}x\r\n`)],
  ['brackets in a Subject', headed(`From: bo@example.net\r\nSubject: ${repeated('[')}x\r\n`)],
  [
    'references',
    headed(`${FROM}References: ${Array.from({ length: 60_000 }, (_, i) => `<${i}@x>`).join('\r\n ')}\r\n`),
  ],
  ['lines of one field', headed(`${FROM}X: ${repeated('\r\n a')}\r\n`)],
  [
    'parameters',
    headed(`${FROM}Content-Type: text/plain${Array.from({ length: 60_000 }, (_, i) => `;a*${i}=b`).join('\r\n ')}\r\n`),
  ],
  ['one word', headed(`${FROM}Content-Type: ${repeated('a')}\r\nMessage-ID: ${'<'.repeat(1000)}\r\n`)],
  ['nested multiparts', nested(1000)],
  ['parts', headed(`${FROM}Content-Type: multipart/mixed; boundary=b\r\n`, '--b\r\n\r\n\r\n'.repeat(100_000))],
  [
    'messages within messages',
    headed(`${FROM}Content-Type: message/rfc822\r\n`, 'Content-Type: message/rfc822\r\n\r\n'.repeat(100_000)),
  ],
  ['tags in HTML', headed(`${FROM}Content-Type: text/html\r\n`, '<a '.repeat(300_000) + '\r\n')],
]

/** Seconds of all threads that something takes. */
async function work(doing: () => Promise<unknown>): Promise<readonly [seconds: number, refused: unknown]> {
  const before = process.cpuUsage()
  const refused = await doing().then(
    () => undefined,
    (error: unknown) => error,
  )
  return [process.cpuUsage(before).user / 1e6, refused]
}

describe('a message made to be work costs a moment, and is taken or refused for good', () => {
  const limit = 3

  test('from a stranger', async (t) => {
    const house = await openHouse(t, { standard: true, dns: { 'example.net': { TXT: ['v=spf1 +all'] } } })
    for (const [name, message] of bombs) {
      const [seconds, refused] = await work(() => house.receive({ to: ['anna@example.org'], message }))
      assert.ok(seconds < limit, `${name}: ${seconds} s`)
      assert.ok(
        refused === undefined || (refused instanceof SmtpError && !refused.temporary),
        `${name}: ${String(refused)}`,
      )
      assert.equal(refused !== undefined, name === 'Received fields', name)
    }
  })

  test('from an account, signed', async (t) => {
    const house = await openHouse(t)
    for (const [name, text] of bombs) {
      const message = text.replaceAll('bo@example.net', 'anna@example.org')
      const [seconds, refused] = await work(() => house.submit({ as: 'anna', to: ['ben@example.org'], message }))
      assert.ok(seconds < limit, `${name}: ${seconds} s`)
      assert.ok(
        refused === undefined || (refused instanceof SmtpError && !refused.temporary),
        `${name}: ${String(refused)}`,
      )
    }
  })
})

describe('mail that is no worse than odd is taken as it came', () => {
  const from = 'From: bo@example.net\r\n'
  const odd: readonly (readonly [what: string, header: string, body: string])[] = [
    ['no Date, no Message-ID, no To', from, 'Hi\r\n'],
    ['a Date that is none', `${from}Date: yesterday\r\n`, 'Hi\r\n'],
    ['addresses that cannot be read', `${from}To: a b c <<x@>, undisclosed\r\nReply-To: @@\r\n`, 'Hi\r\n'],
    ['an underscore in a domain', 'From: bo@mail_1.example.net\r\n', 'Hi\r\n'],
    ['Subject twice', `${from}Subject: one\r\nSubject: two\r\n`, 'Hi\r\n'],
    ['a line of the header without a colon', `${from}this is no field\r\nSubject: x\r\n`, 'Hi\r\n'],
    ['raw Latin-1 in the header', `${from}Subject: Gr\xfc\xdfe\r\n`, 'Hi\r\n'],
    ['a multipart without a boundary', `${from}MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n`, 'Hi\r\n'],
    [
      'a multipart without an end',
      `${from}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n`,
      '--b\r\n\r\nHi\r\n',
    ],
    ['a Content-Type that is none', `${from}Content-Type: text\r\nContent-Transfer-Encoding: x-own\r\n`, 'Hi\r\n'],
    ['base64 that is none', `${from}Content-Transfer-Encoding: base64\r\n`, '!!!\r\n'],
    ['no header', '', 'Hi\r\n'],
  ]
  for (const [what, header, body] of odd)
    test(what, async (t) => {
      const house = await openHouse(t, { standard: true, dns: { 'example.net': { TXT: ['v=spf1 +all'] } } })
      const message = Buffer.from(`${header}\r\n${body}`, 'latin1')
      await house.receive({ to: ['anna@example.org'], message })
      const [mail] = [...(await house.mails('anna')), ...(await house.mails('anna', 'Junk'))]
      assert.ok(mail?.endsWith(message.toString('utf8')), mail)
    })
})
