// Access lists and shared mailboxes (RFC 4314): what the owner gives is what the other user may do, and no more.

import assert from 'node:assert/strict'
import { ALL_RIGHTS, type MailAccount, type MailboxEntry } from '../../backend.ts'
import { type BackendUnderTest, type Kit, refused } from '../kit.ts'
import { add, flagsOf, message, metas, text, uidsIn } from '../mail.ts'

export function acl(kit: Kit): void {
  /** A test with two users; `shared` finds the mailbox of that id in the other's list. */
  const story = (
    title: string,
    body: (
      account: MailAccount,
      other: MailAccount,
      shared: (id: string) => Promise<MailboxEntry | undefined>,
    ) => Promise<void>,
  ): void =>
    kit.story(title, async (account, under: BackendUnderTest) => {
      if (account.acl === undefined || under.openOther === undefined) {
        assert.ok(!kit.expects.has('acl'), 'the store was said to have access lists and a second user')
        return
      }
      const other = await under.openOther()
      try {
        await body(account, other, async (id) => (await other.list()).find((entry) => entry.id === id))
      } finally {
        other.close()
      }
    })

  story('the owner has every right, and the list says so', async (account, other) => {
    const entry = await account.create('kit-mine')
    assert.ok(entry.rights === undefined || sorted(entry.rights) === sorted(ALL_RIGHTS))
    const list = await account.acl?.('kit-mine')
    assert.equal(sorted(list?.get(account.name)), sorted(ALL_RIGHTS))
    assert.equal(list?.has(other.name), false)
    const missing = async (): Promise<unknown> => account.acl?.('kit-none')
    await refused(missing(), 'NONEXISTENT')
    await refused(grant(account, 'kit-none', other.name, 'lr'), 'NONEXISTENT')
    await refused(grant(account, 'kit-mine', 'nobody-of-that-name', 'lr'), 'CANNOT')
  })

  story('lookup and read: seen and read, nothing changed', async (account, other, shared) => {
    const { id } = await account.create('kit-mine')
    const uid = await add(account, 'kit-mine', 'for both', ['\\Deleted'])
    assert.equal(await shared(id), undefined)
    await grant(account, 'kit-mine', other.name, 'lr')
    assert.equal(sorted((await account.acl?.('kit-mine'))?.get(other.name)), 'lr')
    const entry = await shared(id)
    assert.ok(entry !== undefined && entry.selectable)
    assert.equal(sorted(entry.rights), 'lr')
    const prefix = other.namespaces?.others ?? other.namespaces?.shared
    assert.ok(
      prefix !== undefined && prefix.endsWith('/') && entry.name.startsWith(prefix),
      `${entry.name} in ${prefix}`,
    )
    const mailbox = await other.open(entry.name)
    assert.equal(sorted(mailbox.rights), 'lr')
    assert.deepEqual(await uidsIn(mailbox), [uid])
    assert.equal(text(await mailbox.raw(uid)), text(message('for both')))
    assert.equal((await metas(mailbox, [uid], ['envelope'])).length, 1)
    assert.equal((await other.status(entry.name)).messages, 1)
    await refused(mailbox.store([uid], { action: 'add', flags: ['\\Seen'] }), 'NOPERM')
    await refused(mailbox.store([uid], { action: 'add', flags: ['Kit'] }), 'NOPERM')
    await refused(mailbox.expunge([uid]), 'NOPERM')
    await refused(mailbox.move([uid], 'INBOX'), 'NOPERM')
    await refused(mailbox.replace(uid, entry.name, { bytes: message('x'), flags: [] }), 'NOPERM')
    await refused(add(other, entry.name, 'unasked'), 'NOPERM')
    await refused(other.delete(entry.name), 'NOPERM')
    await refused(other.rename(entry.name, 'kit-stolen'), 'NOPERM', 'CANNOT')
    await refused(other.create(`${entry.name}/child`), 'NOPERM')
    await refused(grant(other, entry.name, other.name, ALL_RIGHTS), 'NOPERM')
    const copied = await mailbox.copy([uid], 'INBOX')
    assert.equal(copied.source.length, 1)
    assert.equal((await account.status('kit-mine')).messages, 1)
  })

  story('each right allows its own', async (account, other, shared) => {
    const { id } = await account.create('kit-mine')
    const uid = await add(account, 'kit-mine', 'one')
    const open = async (rights: string): Promise<Awaited<ReturnType<MailAccount['open']>>> => {
      await grant(account, 'kit-mine', other.name, rights)
      return other.open((await shared(id))?.name ?? '')
    }
    let mailbox = await open('lrs')
    await mailbox.store([uid], { action: 'add', flags: ['\\Seen'] })
    await refused(mailbox.store([uid], { action: 'add', flags: ['\\Flagged'] }), 'NOPERM')
    mailbox = await open('lrw')
    await mailbox.store([uid], { action: 'add', flags: ['\\Flagged', 'Kit'] })
    await refused(mailbox.store([uid], { action: 'add', flags: ['\\Deleted'] }), 'NOPERM')
    mailbox = await open('lri')
    const put = await add(other, mailbox.name, 'put by the other')
    await refused(mailbox.expunge([uid]), 'NOPERM')
    mailbox = await open('lrte')
    await mailbox.store([uid], { action: 'add', flags: ['\\Deleted'] })
    assert.deepEqual((await mailbox.expunge([uid])).uids, [uid])
    const mine = await account.open('kit-mine')
    assert.deepEqual(await uidsIn(mine), [put])
    assert.deepEqual(await flagsOf(mine, put), [])
    mailbox = await open('lra')
    await grant(other, mailbox.name, other.name, 'lrax')
    assert.equal(sorted((await account.acl?.('kit-mine'))?.get(other.name)), sorted('lrax'))
    await other.delete(mailbox.name)
    await refused(account.status('kit-mine'), 'NONEXISTENT')
  })

  story('what is taken back is gone at once, from open mailboxes too', async (account, other, shared) => {
    const { id } = await account.create('kit-mine')
    const uid = await add(account, 'kit-mine', 'one')
    await grant(account, 'kit-mine', other.name, 'lrsw')
    const name = (await shared(id))?.name ?? ''
    const mailbox = await other.open(name)
    await grant(account, 'kit-mine', other.name, undefined)
    assert.equal((await account.acl?.('kit-mine'))?.has(other.name), false)
    assert.equal(await shared(id), undefined)
    await refused(other.open(name), 'NONEXISTENT', 'NOPERM')
    await refused(mailbox.store([uid], { action: 'add', flags: ['\\Seen'] }), 'NONEXISTENT', 'NOPERM')
    await refused(add(other, name, 'unasked'), 'TRYCREATE', 'NONEXISTENT', 'NOPERM')
  })

  story('changes of a shared mailbox are told to those it is shared with', async (account, other, shared) => {
    const { id } = await account.create('kit-mine')
    await grant(account, 'kit-mine', other.name, 'lr')
    await other.open((await shared(id))?.name ?? '')
    const told = new Promise<void>((resolve) => other.watch((changed) => (changed === id ? resolve() : undefined)))
    await add(account, 'kit-mine', 'news')
    await told
  })
}

const sorted = (rights: string | undefined): string => [...(rights ?? '')].sort().join('')

const grant = async (account: MailAccount, mailbox: string, who: string, rights: string | undefined): Promise<void> =>
  account.setAcl?.(mailbox, who, rights)
