// Mailboxes: LIST, CREATE, DELETE, RENAME, SUBSCRIBE as a store sees them.

import assert from 'node:assert/strict'
import type { MailboxRole } from '../../backend.ts'
import { type Kit, refused } from '../kit.ts'
import { add, find, model, rows, text, uidsIn } from '../mail.ts'

export function mailboxes(kit: Kit): void {
  kit.story('INBOX is there from the start and cannot be made or deleted', async (account) => {
    const inbox = await find(account, 'INBOX')
    assert.equal(inbox?.selectable, true)
    assert.equal(inbox?.role, 'Inbox')
    assert.match(inbox?.id ?? '', /^[A-Za-z0-9_-]{1,255}$/)
    await refused(account.create('INBOX'), 'ALREADYEXISTS', 'CANNOT')
    await refused(account.delete('INBOX'), 'CANNOT')
  })

  kit.story('create makes the mailbox and its missing parents', async (account) => {
    const entry = await account.create('Kit Ä/Sub/Leaf')
    assert.equal(entry.name, 'Kit Ä/Sub/Leaf'.normalize('NFC'))
    assert.equal(entry.selectable, true)
    assert.equal(entry.role, undefined)
    assert.equal((await find(account, entry.name))?.id, entry.id)
    assert.ok((await find(account, 'Kit Ä/Sub')) !== undefined)
    assert.ok((await find(account, 'Kit Ä')) !== undefined)
    await refused(account.create('Kit Ä/Sub/Leaf'), 'ALREADYEXISTS')
    await refused(account.create('Kit Ä/'), 'CANNOT')
    await refused(account.create('Kit Ä//Leaf'), 'CANNOT')
    await refused(account.create(''), 'CANNOT')
  })

  kit.story('a role belongs to one mailbox', async (account) => {
    const taken = new Set((await account.list()).map((entry) => entry.role))
    const role = (['Archive', 'Sent', 'Drafts', 'Junk', 'Trash'] as MailboxRole[]).find((one) => !taken.has(one))
    const first = [...taken].find((one) => one !== undefined && one !== 'Inbox')
    if (role !== undefined) {
      assert.equal((await account.create('kit-role', role)).role, role)
      assert.equal((await find(account, 'kit-role'))?.role, role)
      await refused(account.create('kit-role-2', role), 'USEATTR')
    } else {
      await refused(account.create('kit-role-2', first), 'USEATTR')
    }
    assert.equal(await find(account, 'kit-role-2'), undefined)
  })

  kit.story('delete leaves the children, and ends what is open', async (account, under) => {
    const parent = await account.create('kit-top')
    const child = await account.create('kit-top/child')
    await add(account, 'kit-top/child', 'one')
    const other = await under.open()
    const open = await other.open('kit-top')
    await account.delete('kit-top')
    const left = await find(account, 'kit-top')
    assert.notEqual(left?.selectable, true)
    assert.equal((await find(account, 'kit-top/child'))?.id, child.id)
    assert.equal((await account.status('kit-top/child')).messages, 1)
    await refused(open.snapshot(), 'NONEXISTENT')
    await refused(open.delta(0), 'NONEXISTENT')
    await refused(open.store([1], { action: 'add', flags: ['\\Seen'] }), 'NONEXISTENT')
    await refused(open.copy([1], 'INBOX'), 'NONEXISTENT')
    await refused(account.status('kit-top'), 'NONEXISTENT')
    await refused(account.open('kit-top'), 'NONEXISTENT')
    await refused(account.delete('kit-never'), 'NONEXISTENT')
    const again = await account.create('kit-top')
    assert.notEqual(again.id, parent.id)
    // The open mailbox is the old one, never the new one of the same name.
    await refused(open.snapshot(), 'NONEXISTENT')
    other.close()
  })

  kit.story('a mailbox made again has a larger UIDVALIDITY', async (account) => {
    await account.create('kit-again')
    const first = (await account.status('kit-again')).uidValidity
    await account.delete('kit-again')
    await account.create('kit-again')
    const second = (await account.status('kit-again')).uidValidity
    assert.ok(second > first, `${second} > ${first}`)
    assert.ok(first > 0 && second <= 0xffffffff && Number.isInteger(second))
  })

  kit.story('rename takes the children along and keeps the identity', async (account) => {
    const a = await account.create('kit-a')
    const child = await account.create('kit-a/child')
    await account.create('kit-b')
    await add(account, 'kit-a', 'moved with its mailbox')
    const open = await account.open('kit-a')
    await refused(account.rename('kit-a', 'kit-b'), 'ALREADYEXISTS')
    await refused(account.rename('kit-a', 'kit-a/child/deeper'), 'CANNOT')
    await refused(account.rename('kit-none', 'kit-c'), 'NONEXISTENT')
    await account.rename('kit-a', 'kit-new/c')
    assert.notEqual((await find(account, 'kit-a'))?.selectable, true)
    assert.equal((await find(account, 'kit-new/c'))?.id, a.id)
    assert.equal((await find(account, 'kit-new/c/child'))?.id, child.id)
    assert.equal((await account.status('kit-new/c')).messages, 1)
    assert.equal((await open.snapshot()).uids.length, 1)
  })

  kit.story('rename of INBOX moves its messages and leaves INBOX', async (account) => {
    await add(account, 'INBOX', 'goes along', ['\\Seen', 'Kitword'])
    await account.create('INBOX/kit-child')
    await account.rename('INBOX', 'kit-old')
    assert.equal((await account.status('INBOX')).messages, 0)
    const moved = await account.open('kit-old')
    assert.equal((await moved.snapshot()).uids.length, 1)
    assert.match([...(await model(moved)).values()][0] ?? '', /Kitword \\Seen|\\Seen Kitword/)
    assert.ok((await find(account, 'INBOX/kit-child')) !== undefined)
    assert.ok((await add(account, 'INBOX', 'later')) > 1)
  })

  kit.story('a subscription is a name that outlives its mailbox', async (account) => {
    await account.create('kit-sub')
    await account.subscribe('kit-sub', true)
    assert.equal((await find(account, 'kit-sub'))?.subscribed, true)
    await account.delete('kit-sub')
    const left = await find(account, 'kit-sub')
    assert.equal(left?.subscribed, true)
    assert.equal(left?.selectable, false)
    assert.equal(left?.id, '')
    await account.subscribe('kit-sub', false)
    assert.equal(await find(account, 'kit-sub'), undefined)
  })

  kit.story('odd names are refused or kept to the letter, and never lead out of the mail', async (account) => {
    const names = [
      'kit a~b',
      'kit "quoted"',
      'kit 日本語',
      'kit 🙂',
      'kit & more',
      'kit &AOk- literal',
      "kit ' apostrophe",
      'kit\\back',
      'kit a.b',
      'kit,comma',
      'kit:colon',
      'kit ',
      ' kit',
      '~',
      '~root',
      '.',
      '..',
      '../kit',
      'kit/../up',
      'kit/./here',
      '.hidden',
      'kit/.hidden',
      'cur',
      'new',
      'kit/tmp',
      'kit/cur',
      'tmp/kit',
      'dovecot-uidlist',
      '-rf',
      '$HOME',
      'CON',
      'kit<>|?',
      'x'.repeat(200),
      'é'.repeat(120),
      Array.from({ length: 40 }, () => 'deep').join('/'),
    ]
    const made: string[] = []
    for (const name of names) {
      try {
        const entry = await account.create(name)
        assert.equal(entry.name, name.normalize('NFC'))
        made.push(entry.name)
      } catch (error) {
        await refused(Promise.reject(error), 'CANNOT', 'ALREADYEXISTS', 'LIMIT')
      }
    }
    const listed = new Set((await account.list()).filter((entry) => entry.selectable).map((entry) => entry.name))
    for (const name of made) {
      assert.ok(listed.has(name), `${JSON.stringify(name)} is listed as it was made`)
      const uid = await add(account, name, `in ${made.indexOf(name)}`)
      const mailbox = await account.open(name)
      assert.equal(mailbox.name, name)
      assert.match(text(await mailbox.raw(uid)) ?? '', new RegExp(`Subject: in ${made.indexOf(name)}\r\n`))
    }
    for (const name of ['kit 日本語', 'kit & more']) assert.ok(made.includes(name), `${name} is a fair name`)
    assert.equal((await account.status('INBOX')).messages, 0)
    await refused(account.create('kit\u0000nul'), 'CANNOT')
    await refused(account.create('kit\r\nline'), 'CANNOT')
    await refused(account.create('kit*'), 'CANNOT')
    for (const name of made) await account.delete(name)
    await refused(account.open('../../etc'), 'NONEXISTENT')
    await refused(account.status('..'), 'NONEXISTENT')
    await refused(account.rename('INBOX/none', '..'), 'NONEXISTENT', 'CANNOT')
    const left = (await account.list()).filter((entry) => entry.selectable && made.includes(entry.name))
    assert.deepEqual(left, [])
  })

  kit.story('INBOX is INBOX in any case, alone and as the first level', async (account) => {
    const inbox = await find(account, 'INBOX')
    assert.equal((await account.status('inbox')).id, inbox?.id)
    assert.equal((await account.open('iNBoX')).id, inbox?.id)
    assert.equal((await account.create('inbox/kit-below')).name, 'INBOX/kit-below')
    await account.create('kit-inbox')
    await account.create('KIT-INBOX')
    assert.notEqual((await find(account, 'kit-inbox'))?.id, (await find(account, 'KIT-INBOX'))?.id)
  })

  kit.story('a name is composed one way, however it is written', async (account) => {
    const entry = await account.create('kit cafe\u0301')
    assert.equal(entry.name, 'kit caf\u00e9')
    assert.equal((await account.open('kit caf\u00e9')).id, entry.id)
    await refused(account.create('kit caf\u00e9'), 'ALREADYEXISTS')
  })

  kit.story('rename keeps UIDs, UIDVALIDITY and role; a name given on leads to the other mailbox', async (account) => {
    await account.create('kit-a')
    await account.create('kit-b')
    const uid = await add(account, 'kit-a', 'in a', ['\\Flagged', 'Kit'])
    await add(account, 'kit-b', 'in b')
    const before = [await account.status('kit-a'), await account.status('kit-b')]
    const was = await rows(await account.open('kit-a'))
    await account.rename('kit-a', 'kit-c')
    await account.rename('kit-b', 'kit-a')
    const after = [await account.status('kit-c'), await account.status('kit-a')]
    assert.deepEqual(
      after.map((status) => [status.id, status.uidValidity, status.messages]),
      before.map((status) => [status.id, status.uidValidity, status.messages]),
    )
    assert.notEqual(before[0]?.uidValidity, before[1]?.uidValidity)
    assert.ok((after[0]?.highestModseq ?? 0) >= (before[0]?.highestModseq ?? 0))
    const open = await account.open('kit-c')
    assert.equal(open.name, 'kit-c')
    assert.deepEqual(
      (await rows(open)).map((row) => [row.uid, row.modseq, [...row.flags]]),
      was.map((row) => [row.uid, row.modseq, [...row.flags]]),
    )
    assert.equal((await add(account, 'kit-c', 'next')) > uid, true)
    const role = (await account.list()).find((entry) => entry.role !== undefined && entry.role !== 'Inbox')
    if (role === undefined) return
    await account.rename(role.name, 'kit-renamed-role')
    assert.equal((await find(account, 'kit-renamed-role'))?.id, role.id)
  })

  kit.story('an open mailbox goes on after its rename, from any session', async (account, under) => {
    await account.create('kit-a')
    const other = await under.open()
    const open = await other.open('kit-a')
    const first = await add(account, 'kit-a', 'first')
    await account.rename('kit-a', 'kit-deep/er/b')
    const second = await add(account, 'kit-deep/er/b', 'second')
    assert.deepEqual(await uidsIn(open), [first, second])
    assert.match(text(await open.raw(first)) ?? '', /Subject: first/)
    await open.store([first], { action: 'add', flags: ['\\Deleted'] })
    assert.deepEqual((await open.expunge([first])).uids, [first])
    assert.equal((await account.status('kit-deep/er/b')).messages, 1)
    other.close()
  })

  kit.story('a name may be subscribed before there is such a mailbox', async (account) => {
    await account.subscribe('kit-later/é', true)
    await account.subscribe('kit-later/é', true)
    assert.equal((await find(account, 'kit-later/é'))?.selectable, false)
    const entry = await account.create('kit-later/é')
    assert.equal((await find(account, 'kit-later/é'))?.subscribed, true)
    await account.rename('kit-later/é', 'kit-gone')
    assert.equal((await find(account, 'kit-gone'))?.id, entry.id)
    await account.subscribe('kit-later/é', false)
    await account.subscribe('kit-later/é', false)
    assert.equal((await find(account, 'kit-later/é'))?.subscribed ?? false, false)
    await account.subscribe('inbox', true)
    assert.equal((await find(account, 'INBOX'))?.subscribed, true)
  })
}
