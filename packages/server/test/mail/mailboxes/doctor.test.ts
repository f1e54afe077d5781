// What `aviso doctor mail` finds in an account that was damaged, and what it can put right.

import assert from 'node:assert/strict'
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { DatabaseSync } from 'node:sqlite'
import type { Finding } from '../../../src/mail/mailboxes/check-operations.ts'
import { account, type House, message, openHouse } from './fixture.ts'

const large = message('large', `${'q'.repeat(70)}\r\n`.repeat(6000))

/** An account of all that there is, damaged by `harm` while nobody looks. */
async function damaged(
  harm: (database: DatabaseSync, blobs: string[], folder: string) => void,
  story: (house: House, findings: (repair?: boolean) => Promise<Finding[]>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-mail-'))
  try {
    let house = await openHouse({ folder })
    await house.mailboxes.room.create(account('anna'))
    const anna = house.open()
    await anna.append('INBOX', [
      { bytes: message('one', 'Long enough to be compressed. '.repeat(40)), flags: ['\\Seen'] },
      { bytes: message('two'), flags: ['\\Deleted'] },
      { bytes: large, flags: [] },
    ])
    const inbox = await anna.open('INBOX')
    await inbox.copy([1, 3], 'Archive')
    await inbox.expunge([2])
    await anna.append(
      'Sent',
      Array.from({ length: 4200 }, () => ({ bytes: message('sent', ''), flags: [] })),
    )
    await (await anna.open('Sent')).snapshot()
    await house.mailboxes.index('anna')
    await house.close()
    const [path = ''] = globSync(join(folder, 'accounts/*/*/account.db'))
    const database = new DatabaseSync(path)
    harm(database, globSync(join(folder, 'accounts/*/*/blobs/*/*')), dirname(path))
    database.close()
    house = await openHouse({ folder })
    await story(house, async (repair = false) => {
      const found: Finding[] = []
      for await (const one of house.mailboxes.examine('anna', repair)) found.push(one)
      return found
    })
    await house.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const kinds = (findings: readonly Finding[]): string[] => findings.map(({ kind }) => kind)

test('a healthy account has no findings', () =>
  damaged(
    () => {},
    async (_house, findings) => assert.deepEqual(await findings(), []),
  ))

test('counts, references, pieces and packed columns are found wrong, and repaired', () =>
  damaged(
    (database) =>
      database.exec(`
        UPDATE mail_mailbox SET unseen = unseen + 5, deleted_octets = 7 WHERE name = 'INBOX';
        UPDATE mail_state SET octets = 1, messages = 2;
        UPDATE mail_email SET refcount = 9 WHERE id = 1;
        UPDATE mail_email SET refcount = 0 WHERE id = 4;
        DELETE FROM mail_listing WHERE email = 5;
        DELETE FROM mail_keys WHERE email = 6;
        INSERT INTO mail_listing VALUES (999999, x'', x'');
        UPDATE mail_message SET flagset = 1 WHERE mailbox = (SELECT id FROM mail_mailbox WHERE name = 'Sent') AND uid = 7;
      `),
    async (house, findings) => {
      const expected = [
        'counter',
        'counter',
        'counter',
        'counter',
        'references',
        'references',
        'rendering',
        'rendering',
        'rendering',
      ]
      const told = await findings()
      // A flag set changed behind the store's back is a matter of the counts of that mailbox, and of its packed columns.
      assert.deepEqual(
        kinds(told).filter((kind) => kind !== 'packed'),
        ['counter', ...expected],
      )
      assert.ok(kinds(told).includes('packed'))
      assert.ok(told.every(({ repaired }) => !repaired))
      assert.match(told[0]?.text ?? '', /^INBOX: unseen is counted as 6, there are 1$/)
      const repaired = await findings(true)
      assert.deepEqual(kinds(repaired).sort(), kinds(told).sort())
      assert.ok(repaired.every((one) => one.repaired))
      assert.deepEqual(await findings(), [])
      assert.equal((await house.open().status('INBOX')).unseen, 1)
      for await (const [meta] of (await house.open().open('Sent')).meta([2, 3], ['commonHeader']))
        assert.match(Buffer.from(meta?.commonHeader ?? []).toString(), /Subject: sent/)
    },
  ))

test('numbers that fell behind are found, and raised above all that were given', () =>
  damaged(
    (database) =>
      database.exec(`
        UPDATE mail_mailbox SET uidnext = 3 WHERE name = 'INBOX';
        UPDATE mail_mailbox SET modseq = 1 WHERE name = 'Sent';
        UPDATE mail_state SET modseq = 2, uidvalidity = 5, email = 100;
      `),
    async (house, findings) => {
      const numbers = async (repair = false): Promise<string[]> =>
        (await findings(repair)).filter(({ kind }) => kind === 'numbers').map(({ text }) => text)
      const told = await numbers()
      assert.equal(told.length, 5)
      assert.match(told[0] ?? '', /^INBOX: the next UID is 3, and 3 was given$/)
      assert.match(told[1] ?? '', /^Sent: its mod-sequence is 1, and a message has \d+$/)
      assert.deepEqual(await numbers(true), told)
      assert.deepEqual(await findings(), [])
      const anna = house.open()
      const before = await anna.status('Sent')
      assert.deepEqual((await anna.append('INBOX', [{ bytes: message('next'), flags: [] }])).uids, [4])
      await anna.append('Sent', [{ bytes: message('next'), flags: [] }])
      assert.ok((await anna.status('Sent')).highestModseq > before.highestModseq)
    },
  ))

for (const [what, harm] of [
  [
    'a chunk is missing',
    'DELETE FROM mail_search_chunk WHERE rowid = (SELECT min(rowid) FROM mail_search_chunk WHERE stream = 0)',
  ],
  [
    'a segment is missing',
    'DELETE FROM mail_search_segment WHERE id = (SELECT max(id) FROM mail_search_segment WHERE state = 0)',
  ],
  ['it says that it reaches further', 'DELETE FROM mail_search_segment; DELETE FROM mail_search_chunk'],
  ['what words lead to is cut', 'UPDATE mail_search_chunk SET postings = substr(postings, 1, 3)'],
  [
    'words lead elsewhere',
    "UPDATE mail_search_chunk SET postings = CAST(x'0101' || zeroblob(0) AS BLOB) WHERE stream IN (0, 1)",
  ],
  [
    'octets of words are others',
    "UPDATE mail_search_chunk SET keys = CAST(x'ff' || substr(keys, 3, 40) || x'ff' AS BLOB) WHERE stream > 1",
  ],
] as const)
  test(`the text index is made anew where ${what}`, () =>
    damaged(
      (database) => database.exec(harm),
      async (house, findings) => {
        const told = await findings()
        assert.ok(told.length > 0, 'it is found')
        assert.ok(told.every(({ kind, repaired }) => kind === 'text-index' && !repaired))
        assert.ok((await findings(true)).every(({ repaired }) => repaired))
        assert.deepEqual(await findings(), [])
        await house.mailboxes.index('anna')
        assert.deepEqual(await findings(), [])
        const sent = await house.open().open('Sent')
        const uids = [...(await sent.snapshot()).uids]
        let matches = 0
        for await (const batch of sent.find?.({ kind: 'header', name: 'Subject', text: 'sent' }, uids) ?? [])
          matches += batch.uids.length
        assert.equal(matches, 4200)
      },
    ))

test('what is lost is told with the messages that suffer, and never made up', () =>
  damaged(
    (database, blobs, folder) => {
      database.exec(`
        UPDATE mail_octets SET content = x'00112233' WHERE email = 1;
        DELETE FROM mail_octets WHERE email = 5;
        DELETE FROM mail_email WHERE id = 6;
      `)
      for (const file of blobs) rmSync(file)
      mkdirSync(join(folder, 'blobs', 'ab'), { recursive: true })
      writeFileSync(join(folder, 'blobs', 'ab', 'ab'.repeat(32)), 'nobody')
    },
    async (_house, findings) => {
      const told = await findings(true)
      const by = (kind: string): Finding[] => told.filter((one) => one.kind === kind)
      assert.deepEqual(by('dangling')[0]?.messages, [{ mailbox: 'Sent', uid: 3 }])
      assert.deepEqual(
        by('content').map(({ messages }) => messages),
        [
          [
            { mailbox: 'INBOX', uid: 1 },
            { mailbox: 'Archive', uid: 1 },
          ],
          [{ mailbox: 'Sent', uid: 2 }],
        ],
      )
      assert.equal(by('missing-blob')[0]?.messages.length, 2)
      assert.deepEqual([by('orphan-blob').length, by('orphan-blob')[0]?.repaired], [1, true])
      const again = await findings()
      assert.deepEqual(
        kinds(again).filter((kind) => kind !== 'rendering'),
        ['dangling', 'content', 'content', 'missing-blob'],
      )
    },
  ))
