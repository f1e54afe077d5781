// Damage, and what the doctor makes of it.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test, type TestContext } from 'node:test'
import type { AccountAdmin } from '../../../src/accounts/administration.ts'
import { createMailAdmin } from '../../../src/mail/admin.ts'
import type { MailAdmin } from '../../../src/mail/administration.ts'
import { account, message, openHouse } from '../mailboxes/fixture.ts'
import { temporaryFolder } from '../../house/fixture.ts'
import { ANNA } from './fixture.ts'

const LIMIT = 8 * 1024 * 1024
const FOLDER = join('accounts', 'na', 'anna')

/** Runs `work` with the account's mail open. */
async function opened<T>(folder: string, work: (door: MailAdmin) => Promise<T>): Promise<T> {
  const house = await openHouse({ folder, appendLimit: LIMIT })
  try {
    await house.mailboxes.room.create(account('anna'))
    const accounts = { showAccount: async () => account('anna') } as unknown as AccountAdmin
    return await work(
      createMailAdmin(
        () => accounts,
        () => house.mailboxes,
        () => LIMIT,
      ),
    )
  } finally {
    await house.close()
  }
}

/** An account with small messages and two large ones, on disk. */
async function filled(t: TestContext): Promise<string> {
  const folder = temporaryFolder(t)
  await opened(folder, async (door) => {
    for (let i = 1; i <= 5; i++)
      await door.add(ANNA, 'INBOX', {
        bytes: message(`m${i}`, 'word '.repeat(1000)),
        flags: i % 2 === 0 ? ['\\Seen'] : [],
        date: undefined,
      })
    for (const letter of ['a', 'b'])
      await door.add(ANNA, 'INBOX', {
        bytes: message(`large ${letter}`, letter.repeat(400_000)),
        flags: [],
        date: undefined,
      })
    await door.copy(ANNA, 'INBOX', '1:2', 'Archive')
    assert.deepEqual((await door.examine(ANNA, false)).findings, [])
  })
  return folder
}

function sql(folder: string, ...statements: readonly string[]): void {
  const database = new DatabaseSync(join(folder, FOLDER, 'account.db'))
  try {
    for (const statement of statements) assert.ok(database.prepare(statement).run().changes > 0, statement)
  } finally {
    database.close()
  }
}

const blobPath = (folder: string, name: string): string => join(folder, FOLDER, 'blobs', name.slice(0, 2), name)

function blobs(folder: string): string[] {
  return readdirSync(join(folder, FOLDER, 'blobs'), { recursive: true, encoding: 'utf8' })
    .map((path) => path.split('/').at(-1) ?? '')
    .filter((name) => name.length === 64)
}

/** What is found before, by, and after a repair: [kind, repaired, messages]. */
async function treat(folder: string) {
  return opened(folder, async (door) => {
    const seen = async (repair: boolean) => {
      const { findings, open, more } = await door.examine(ANNA, repair)
      assert.equal(more, 0)
      assert.equal(open, findings.filter(({ repaired }) => !repaired).length)
      return findings.map(({ kind, repaired, messages }) => [kind, repaired, messages.map(({ uid }) => uid)])
    }
    return { before: await seen(false), by: await seen(true), after: await seen(false) }
  })
}

describe('the doctor', () => {
  test('recounts what is counted wrongly', async (t) => {
    const folder = await filled(t)
    sql(
      folder,
      "UPDATE mail_mailbox SET messages = messages + 3, unseen = 0 WHERE name = 'INBOX'",
      'UPDATE mail_state SET octets = 1',
      'UPDATE mail_email SET refcount = 0 WHERE id = 1',
      'UPDATE mail_email SET refcount = 9 WHERE id = 3',
    )
    const { before, by, after } = await treat(folder)
    const kinds = ['counter', 'counter', 'counter', 'counter', 'references', 'references']
    assert.deepEqual(
      before.map(([kind, repaired]) => [kind, repaired]),
      kinds.map((kind) => [kind, false]),
    )
    assert.ok(
      by.every(([, repaired]) => repaired === true),
      JSON.stringify(by),
    )
    assert.deepEqual(after, [])
    await opened(folder, async (door) => {
      const { messages, unseen } = await door.mailbox(ANNA, 'INBOX')
      assert.deepEqual([messages, unseen], [7, 5])
      assert.match(Buffer.from((await door.octets(ANNA, 'Archive', 1, 0)) ?? []).toString(), /^From: /)
    })
  })

  test("tells which messages are lost with a blob, and throws blobs away that are nobody's", async (t) => {
    const folder = await filled(t)
    const [gone = '', damaged = ''] = blobs(folder)
    rmSync(blobPath(folder, gone))
    writeFileSync(blobPath(folder, damaged), 'x'.repeat(400_000))
    const orphan = createHash('sha256').update('orphan').digest('hex')
    mkdirSync(join(blobPath(folder, orphan), '..'), { recursive: true })
    writeFileSync(blobPath(folder, orphan), 'orphan')
    const { before, by, after } = await treat(folder)
    const lost = before.filter(([kind]) => kind === 'missing-blob')
    assert.deepEqual(lost.map(([, , uids]) => uids).sort(), [[6], [7]])
    assert.deepEqual(before.filter(([kind]) => kind === 'orphan-blob').length, 1)
    assert.deepEqual(
      by.filter(([, repaired]) => repaired),
      [['orphan-blob', true, []]],
    )
    assert.deepEqual(after, lost)
    assert.ok(!existsSync(blobPath(folder, orphan)))
  })

  test('reads what is compressed, and tells of what is damaged', async (t) => {
    const folder = await filled(t)
    sql(
      folder,
      'UPDATE mail_octets SET content = substr(content, 1, length(content) / 2) WHERE email = 1',
      "UPDATE mail_octets SET content = x'00' WHERE email = 2",
      'DELETE FROM mail_octets WHERE email = 3',
      'DELETE FROM mail_email WHERE id = 4',
    )
    const { before, by, after } = await treat(folder)
    const content = before.filter(([kind]) => kind === 'content')
    assert.deepEqual(
      content.map(([, , uids]) => uids),
      [[1, 1], [2, 2], [3]],
    )
    assert.deepEqual(
      before.filter(([kind]) => kind === 'dangling').map(([, , uids]) => uids),
      [[4]],
    )
    // Rows that nothing names go; what is lost stays told.
    assert.ok(by.filter(([, repaired]) => repaired).every(([kind]) => kind === 'rendering'))
    assert.deepEqual(
      after.map(([kind, , uids]) => [kind, uids]),
      [
        ['dangling', [4]],
        ['content', [1, 1]],
        ['content', [2, 2]],
        ['content', [3]],
      ],
    )
  })

  test('finds messages whose mailbox is gone, and gives them one', async (t) => {
    const folder = await filled(t)
    sql(folder, "DELETE FROM mail_mailbox WHERE name = 'Archive'")
    const { before, by, after } = await treat(folder)
    assert.ok(before.some(([kind]) => kind === 'stray'))
    assert.ok(
      by.every(([, repaired]) => repaired === true),
      JSON.stringify(by),
    )
    assert.deepEqual(after, [])
    await opened(folder, async (door) => {
      const found = (await door.mailboxes(ANNA)).find(({ name }) => name.startsWith('Recovered '))
      assert.deepEqual([found?.messages, found?.unseen, found?.subscribed], [2, 1, true])
      assert.equal(await door.add(ANNA, found?.name ?? '', { bytes: message('next'), flags: [], date: undefined }), 3)
    })
  })

  test('has what is kept ready made anew', async (t) => {
    const folder = await filled(t)
    sql(folder, 'DELETE FROM mail_keys WHERE email = 1', 'DELETE FROM mail_listing WHERE email = 2')
    const { before, by, after } = await treat(folder)
    assert.deepEqual(
      before.map(([kind]) => kind),
      ['rendering', 'rendering'],
    )
    assert.deepEqual(
      by.map(([, repaired]) => repaired),
      [true, true],
    )
    assert.deepEqual(after, [])
    await opened(folder, async (door) => {
      const { rows } = await door.messages(ANNA, 'INBOX', {}, { after: 0, limit: 2, headers: true })
      assert.deepEqual(
        rows.map(({ subject }) => subject),
        ['m1', 'm2'],
      )
    })
  })
})
