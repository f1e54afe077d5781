// What has arrived, seen with an IMAP client that is none of ours (imapflow), and the mails that journeys send.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { ImapFlow } from 'imapflow'
import { eventually } from './programs.ts'
import type { DemoAccount, Reach } from './server.ts'

export async function imapClient(reach: Reach, account: DemoAccount): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: reach.host,
    port: reach.ports.imaps,
    secure: true,
    auth: { user: account.address, pass: account.password },
    tls: { ca: readFileSync(reach.ca) },
    logger: false,
  })
  await client.connect()
  return client
}

/** Calls `work` with a mailbox selected. */
export async function inMailbox<T>(
  reach: Reach,
  account: DemoAccount,
  mailbox: string,
  work: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = await imapClient(reach, account)
  try {
    const lock = await client.getMailboxLock(mailbox)
    try {
      return await work(client)
    } finally {
      lock.release()
    }
  } finally {
    await client.logout()
  }
}

/** The mail with this subject, octet by octet, as soon as it is there. */
export const arrived = (reach: Reach, account: DemoAccount, subject: string, mailbox = 'INBOX'): Promise<Buffer> =>
  inMailbox(reach, account, mailbox, (client) =>
    eventually(`a mail '${subject}' in ${mailbox} of ${account.address}`, async () => {
      const found = await client.search({ header: { subject } }, { uid: true })
      const uid = found === false ? undefined : found?.at(-1)
      if (uid === undefined) {
        await client.noop()
        return undefined
      }
      const message = await client.fetchOne(String(uid), { source: true }, { uid: true })
      return message === false ? undefined : message?.source
    }),
  )

/**
 * A mail that is easily damaged on its way: lines of dots, a line of 900 octets, UTF-8, trailing blanks, empty lines at the end. Complete (Date, Message-ID), so
 * that a submission server has nothing to add. Lines end with CRLF.
 */
export const awkwardMail = (from: string, to: string, subject: string): string =>
  [
    `From: Anna <${from}>`,
    `To: <${to}>`,
    `Subject: ${subject}`,
    'Date: Thu, 01 Jan 2026 12:00:00 +0000',
    `Message-ID: <${subject.replaceAll(' ', '.')}@journey.test>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    'X-Folded: one',
    '\ttwo  ',
    '  three',
    '',
    '.',
    '..',
    '.hidden',
    'From here on it is only text.',
    'Grüße, 你好, 👋',
    'x'.repeat(900),
    'trailing blanks  \t ',
    '',
    'last line',
    '',
    '',
    '',
  ].join('\r\n')

const ADDED: ReadonlySet<string> = new Set(['return-path', 'received', 'dkim-signature'])

/** Asserts that `source` is `sent`, with nothing but trace fields, and our signatures where it went out by submission, in front. */
export function assertExact(source: Buffer, sent: string): void {
  const text = source.toString('utf8')
  assert.ok(text.endsWith(sent), `sent:\n${shown(sent)}\narrived:\n${shown(text)}`)
  const fields = text.slice(0, text.length - sent.length).split(/\r\n(?![ \t])/)
  assert.equal(fields.pop(), '')
  const names = fields.map((field) => field.slice(0, field.indexOf(':')).toLowerCase())
  assert.deepEqual(
    names.filter((name) => !ADDED.has(name)),
    [],
  )
  assert.equal(names[0], 'return-path')
  assert.ok(names.includes('received'))
}

const shown = (text: string): string => JSON.stringify(text).replace(/x{20,}/, (run) => `(${run.length} x)`)
