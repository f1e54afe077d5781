// Mailboxes as files: complete, readable by our own readers, and completed by the next export when one broke off.

import assert from 'node:assert/strict'
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { exportMaildir } from '../../../src/mail/transfer/export-maildir.ts'
import { exportMbox, STATE_FILE } from '../../../src/mail/transfer/export-mbox.ts'
import type { ExportOptions } from '../../../src/mail/transfer/export.ts'
import { ANNA, openRoom, type Room } from './fixture.ts'

const letter = (subject: string, body = 'Hello\r\n'): Buffer =>
  Buffer.from(`Return-Path: <bo@example.net>\r\nFrom: Bo <bo@example.net>\r\nSubject: ${subject}\r\n\r\n${body}`)

const NAMES = ['INBOX', 'Größe & mehr/a.b', '../../etc', 'x.sbd']

async function filled(t: TestContext, keywords = ['work', '$Label1']): Promise<Room> {
  const room = await openRoom(t)
  for (const [m, mailbox] of NAMES.entries()) {
    if (mailbox !== 'INBOX') await room.door.createMailbox(ANNA, mailbox, undefined)
    for (let i = 1; i <= 10; i++)
      await room.door.add(ANNA, mailbox, {
        bytes: letter(`${m}-${i}`, i % 3 === 0 ? 'From here\r\n>From there\r\n\r\n' : 'Hello\r\n'),
        flags: i % 2 === 0 ? ['\\Seen', '\\Flagged', keywords[i % keywords.length] ?? ''] : ['\\Draft', '$Forwarded'],
        date: { time: Date.UTC(2020, m, i, 1, 2, 3), zone: 60 },
      })
  }
  return room
}

/** Everything that must survive, by mailbox. */
async function contents(room: Room, mailbox: string): Promise<unknown[]> {
  const all: unknown[] = []
  for (const { uid, flags, date, subject } of await room.list(mailbox))
    all.push([
      subject,
      flags.toSorted(),
      date.time,
      Buffer.from((await room.door.octets(ANNA, mailbox, uid, 0)) ?? []).toString('latin1'),
    ])
  return all
}

/** A source that breaks off after so many messages. */
const breaking = (options: ExportOptions, after: number): ExportOptions => ({
  ...options,
  source: {
    lines: options.source.lines,
    async *messages(mailbox, lines) {
      for await (const one of options.source.messages(mailbox, lines)) {
        if (after-- === 0) throw new Error('broken off')
        yield one
      }
    },
  },
})

for (const [form, run] of [
  ['mbox', exportMbox],
  ['maildir', exportMaildir],
] as const)
  describe(`an export as ${form}`, () => {
    test('gives back what was exported, and stays in its folder', async (t) => {
      const room = await filled(t)
      const report = await run(await room.exporting('out'))
      assert.deepEqual([report.written, report.skipped, report.failed], [40, 0, 0])
      assert.deepEqual(readdirSync(room.folder), ['out'])
      const again = await run(await room.exporting('out'))
      assert.deepEqual([again.written, again.skipped], [0, 40])
      const other = await openRoom(t)
      const into = await other.import(join('..', room.folder.split('/').at(-1) ?? '', 'out'))
      assert.deepEqual([into.imported, into.failed], [40, 0])
      for (const name of NAMES) assert.deepEqual(await contents(other, name), await contents(room, name), name)
    })

    test('that broke off is completed, each message once', async (t) => {
      const room = await filled(t)
      for (const after of [0, 5, 13, 17])
        await assert.rejects(run(breaking(await room.exporting('out'), after)), /broken off/)
      const report = await run(await room.exporting('out'))
      assert.equal(report.written + report.skipped, 40)
      const other = await openRoom(t)
      const into = await other.import(join('..', room.folder.split('/').at(-1) ?? '', 'out'))
      assert.deepEqual([into.imported, into.failed], [40, 0])
    })

    test('is completed by what came since', async (t) => {
      const room = await filled(t)
      await run(await room.exporting('out'))
      await room.door.add(ANNA, 'INBOX', { bytes: letter('new'), flags: [], date: undefined })
      const report = await run(await room.exporting('out'))
      assert.deepEqual([report.written, report.skipped], [1, 40])
    })

    test('does not mix two mailboxes that had one name', async (t) => {
      const room = await filled(t)
      await run(await room.exporting('out'))
      await room.door.deleteMailbox(ANNA, 'x.sbd')
      room.house.clock.turn(5000)
      await room.door.createMailbox(ANNA, 'x.sbd', undefined)
      await assert.rejects(run(await room.exporting('out')), { code: 'exists', message: /choose another folder/ })
    })
  })

describe('an mbox export', () => {
  test('cuts off half a message that a crash left, and touches no file of others', async (t) => {
    const room = await filled(t)
    await exportMbox(await room.exporting('out'))
    const inbox = join(room.folder, 'out/INBOX')
    const whole = readFileSync(inbox)
    appendFileSync(inbox, 'From x Thu Jan  1 00:00:00 1970\nSubject: ha')
    await exportMbox(await room.exporting('out'))
    assert.deepEqual(readFileSync(inbox), whole)
    writeFileSync(inbox, whole.subarray(0, 100))
    await assert.rejects(exportMbox(await room.exporting('out')), /has lost octets/)
    room.files({ 'other/INBOX': 'mine' })
    await assert.rejects(exportMbox(await room.exporting('other')), { code: 'exists' })
    assert.equal(readFileSync(join(room.folder, 'other/INBOX'), 'utf8'), 'mine')
    room.files({ [`third/${STATE_FILE}`]: '{"INBOX":{"length":-1}}' })
    await assert.rejects(exportMbox(await room.exporting('third')), /cannot be read/)
  })
})

describe('a Maildir export', () => {
  test('follows flags, keeps times, and says which keywords have no letter', async (t) => {
    const room = await filled(
      t,
      Array.from({ length: 30 }, (_, i) => `k${i}`),
    )
    for (let i = 1; i <= 10; i++) await room.door.flag(ANNA, 'INBOX', String(i), 'set', [`k${i}`, `l${i}`, `m${i}`])
    const options = await room.exporting('out')
    const report = await exportMaildir(options)
    assert.equal(report.written, 40)
    assert.match(JSON.stringify(options.problems), /26 keywords: left out were m9, k10, l10, m10"/)
    await room.door.flag(ANNA, 'x.sbd', '3', 'set', ['\\Answered'])
    await exportMaildir(await room.exporting('out'))
    const cur = join(room.folder, 'out/.x%2Esbd/cur')
    const names = readdirSync(cur)
    assert.equal(names.length, 10)
    const three = names.find((name) => name.includes('.M3P0')) ?? ''
    assert.match(three, /:2,R$/)
    assert.equal(statSync(join(cur, three)).mtimeMs, Date.UTC(2020, 3, 3, 1, 2, 3))
    assert.ok(existsSync(join(cur, '../maildirfolder')))
    assert.deepEqual(readdirSync(join(cur, '../tmp')), [])
  })
})
