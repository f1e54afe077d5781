// Mails of many kinds for the programs that keep folders the same, and both sides octet by octet.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { imapClient, inMailbox } from './mailbox.ts'
import type { DemoAccount, Reach } from './server.ts'

/** Bodies (with their MIME header fields) that are easily damaged, or have no business in a mail and come all the same. */
const ODD: readonly ((n: number) => string)[] = [
  (n) => `\n plain ${n}\n`,
  (n) => `Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße ${n}, 你好 👋\n`,
  (n) =>
    `Content-Type: multipart/mixed; boundary=x\n\n--x\n\nno end ${n}\n--x\nContent-Type: message/rfc822\n\nSubject: inner\n\n${n}\n`,
  (n) => `Content-Type: multipart/alternative; boundary="${'b'.repeat(70)}"\n\nnothing of it ${n}\n`,
  (n) =>
    `Content-Type: application/octet-stream; name*0="a"; name*1="${n}.bin"\nContent-Transfer-Encoding: base64\n\n${Buffer.alloc(90, n).toString('base64')}\n`,
  (n) => `X-Folded: one\n\ttwo  \n  ${n}\n\n.\n..\nFrom here on\n`,
  (n) => `Content-Type: text/plain; charset=x-unknown\nContent-Transfer-Encoding: x-strange\n\n${n}\n\n\n`,
  (n) => `\n${'long '.repeat(190)}${n}`,
  (n) => `Subject: again\nContent-Type: nonsense;;;=\n\n${n}\n`,
  (n) =>
    `Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nCaf=E9 =\n${n}\n`,
]

const FLAGS = ['', 'S', 'FS', 'RS', 'F', 'DS'] as const

/** Mail number `n`, with LF at its line ends, as a Maildir keeps it, and the flags of its file name. */
export function oddMail(n: number): { readonly text: string; readonly flags: string } {
  const body = ODD[n % ODD.length] ?? ODD[0]
  const head = `From: =?utf-8?Q?J=C3=B6rg?= <a@b.test>\nTo: undisclosed-recipients:;\nSubject: mail ${n}\nMessage-ID: <${n}@b.test>\nMIME-Version: 1.0\n`
  return { text: head + (body?.(n) ?? ''), flags: FLAGS[n % FLAGS.length] ?? '' }
}

/** `count` numbers of mails. */
export const mails = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index)

/** False for mails that Python's email package changes when it reads and writes them: those whose parts have no end. */
export const pythonKeeps = (n: number): boolean => n % ODD.length !== 2 && n % ODD.length !== 3

/** Writes mails into a Maildir. */
export function fillMaildir(path: string, numbers: readonly number[]): void {
  for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(path, part), { recursive: true })
  for (const n of numbers) {
    const { text, flags } = oddMail(n)
    writeFileSync(join(path, 'cur', `${1_700_000_000 + n}.P1Q${n}.here:2,${flags}`), text)
  }
}

/** A digest of a mail, its flags behind it. Line ends and what the program adds to know its mails again (`added`) do not count. */
const mark = (octets: Buffer, flags: string, added?: RegExp): string => {
  const text = octets.toString('latin1').replaceAll('\r\n', '\n')
  return `${createHash('sha1')
    .update(added ? text.replace(added, '') : text, 'latin1')
    .digest('base64')} ${flags}`
}

/** All mails of a Maildir. */
export function marksOfMaildir(path: string, added?: RegExp): string[] {
  return ['cur', 'new']
    .flatMap((part) =>
      readdirSync(join(path, part)).map((name) =>
        mark(readFileSync(join(path, part, name)), (/:2,([A-Z]*)/.exec(name)?.[1] ?? '').replace('T', ''), added),
      ),
    )
    .sort()
}

const LETTERS = new Map([
  ['\\Draft', 'D'],
  ['\\Flagged', 'F'],
  ['\\Answered', 'R'],
  ['\\Seen', 'S'],
])

/** All mails of a mailbox, and what any change of it would move. */
export const mailboxOf = (
  reach: Reach,
  account: DemoAccount,
  mailbox: string,
  added?: RegExp,
): Promise<{ readonly marks: string[]; readonly state: string }> =>
  inMailbox(reach, account, mailbox, async (client) => {
    const marks: string[] = []
    const uids: number[] = []
    for await (const { uid, source, flags } of client.fetch('1:*', { uid: true, source: true, flags: true })) {
      const letters = [...(flags ?? [])].map((flag) => LETTERS.get(flag) ?? '').sort()
      marks.push(mark(source ?? Buffer.alloc(0), letters.join(''), added))
      uids.push(uid)
    }
    const status = await client.status(mailbox, { uidNext: true, highestModseq: true })
    assert.ok(status !== false)
    return { marks: marks.sort(), state: [status.uidNext, status.highestModseq, ...uids].join(' ') }
  })

/** Appends mails to a mailbox, which is made where it is not there. Their order is not told. */
export async function fillMailbox(
  reach: Reach,
  account: DemoAccount,
  mailbox: string,
  numbers: readonly number[],
): Promise<void> {
  const names = new Map([...LETTERS].map(([flag, letter]) => [letter, flag]))
  const left = [...numbers]
  // Several connections: each waits for its message to be safe.
  const clients = await Promise.all(Array.from({ length: 6 }, () => imapClient(reach, account)))
  if (mailbox !== 'INBOX') await clients[0]?.mailboxCreate(mailbox)
  await Promise.all(
    clients.map(async (client) => {
      for (let number = left.pop(); number !== undefined; number = left.pop()) {
        const { text, flags } = oddMail(number)
        const bytes = Buffer.from(text.replaceAll('\n', '\r\n'), 'utf8')
        await client.append(
          mailbox,
          bytes,
          [...flags].map((letter) => names.get(letter) ?? ''),
        )
      }
      await client.logout()
    }),
  )
}
