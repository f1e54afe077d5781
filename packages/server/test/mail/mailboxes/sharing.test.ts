// Mailboxes that accounts share, and notes on mailboxes: what the owner gives is what the others may do.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ALL_RIGHTS, BackendError, type MailAccount, type MailboxEntry } from '@aviso/imap'
import type { Account, AccountChange } from '../../../src/accounts/contracts.ts'
import type { Neighbours } from '../../../src/mail/mailboxes/sharing/sharing.ts'
import { shareStore } from '../../../src/mail/mailboxes/sharing/shares.store.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { account, type House, message, openHouse, text } from './fixture.ts'

interface Village extends House {
  readonly people: Map<string, Account>
  readonly told: Set<(change: AccountChange) => void>
  readonly neighbours: Neighbours
  as(id: string): MailAccount
  erase(id: string): Promise<void>
}

/** Anna, Ben and Cem of example.org, Dora of elsewhere. */
async function village(story: (village: Village) => Promise<void>, folder?: string): Promise<void> {
  const people = new Map<string, Account>(['anna', 'ben', 'cem'].map((id) => [id, account(id)])).set('dora', {
    ...account('dora'),
    address: 'dora@example.net',
    domain: 'example.net',
  })
  const told = new Set<(change: AccountChange) => void>()
  const neighbours: Neighbours = {
    byAddress: async (address) =>
      [...people.values()].find((one) => one.address === address.toLowerCase() && !one.disabled),
    byId: async (id) => people.get(id),
    watch: (listener) => {
      told.add(listener)
      return () => told.delete(listener)
    },
  }
  const house = await openHouse({ neighbours, ...(folder === undefined ? {} : { folder }) })
  const opened: MailAccount[] = []
  try {
    for (const one of people.values()) await house.mailboxes.room.create(one)
    await story({
      ...house,
      people,
      told,
      neighbours,
      as: (id) => {
        const mail = house.mailboxes.open(people.get(id) ?? account(id))
        opened.push(mail)
        return mail
      },
      erase: async (id) => {
        const gone = people.get(id)
        if (gone === undefined) return
        people.delete(id)
        for (const tell of told) tell({ kind: 'deleted', accountId: id, address: gone.address })
        await house.mailboxes.room.erase?.(gone)
        await house.store.eraseAccount(id)
      },
    })
  } finally {
    for (const mail of opened) mail.close()
    await house.close()
  }
}

const refused = (promise: Promise<unknown> | undefined, ...codes: string[]): Promise<void> =>
  assert.rejects(promise ?? Promise.resolve(), (error: unknown) => {
    assert.ok(error instanceof BackendError && codes.includes(error.code ?? ''), String(error))
    return true
  })

const shared = async (mail: MailAccount): Promise<readonly MailboxEntry[]> =>
  (await mail.list()).filter((entry) => entry.selectable && entry.name.startsWith('Other Users/'))

const grant = (mail: MailAccount, mailbox: string, who: string, rights: string | undefined): Promise<void> =>
  mail.setAcl?.(mailbox, who, rights) ?? Promise.reject(new Error('no ACL'))

/** Resolves when `condition` holds, asked again after each change. */
async function until(mail: MailAccount, condition: () => Promise<boolean>): Promise<void> {
  let wake: () => void = () => undefined
  const stop = mail.watch(() => wake())
  try {
    for (;;) {
      const next = new Promise<void>((resolve) => (wake = resolve))
      if (await condition()) return
      await next
    }
  } finally {
    stop()
  }
}

test('what is shared is listed under the owner, with its rights, and nothing else is', () =>
  village(async ({ as }) => {
    const [anna, ben, cem, dora] = [as('anna'), as('ben'), as('cem'), as('dora')]
    const made = await anna.create('Team/Plans')
    await grant(anna, 'Team/Plans', 'ben@example.org', 'rl')
    const [entry, ...rest] = await shared(ben)
    assert.deepEqual(rest, [])
    assert.deepEqual(entry, {
      id: made.id,
      name: 'Other Users/anna@example.org/Team/Plans',
      role: undefined,
      subscribed: false,
      selectable: true,
      rights: 'lr',
    })
    const levels = (await ben.list()).filter(({ name }) => name.startsWith('Other') && name !== entry?.name)
    assert.deepEqual(
      levels.map(({ name, selectable }) => [name, selectable]),
      [
        ['Other Users', false],
        ['Other Users/anna@example.org', false],
        ['Other Users/anna@example.org/Team', false],
      ],
    )
    assert.deepEqual(await shared(cem), [])
    await refused(cem.open('Other Users/anna@example.org/Team/Plans'), 'NONEXISTENT')
    await refused(cem.status('Other Users/anna@example.org/INBOX'), 'NONEXISTENT')
    await refused(cem.status('Other Users/nobody@example.org/INBOX'), 'NONEXISTENT')
    assert.deepEqual(
      [...((await anna.acl?.('Team/Plans')) ?? [])],
      [
        ['anna@example.org', ALL_RIGHTS],
        ['ben@example.org', 'lr'],
      ],
    )
    // Everybody of the same domain, together with what each has alone.
    await grant(anna, 'Team/Plans', 'anyone', 'lri')
    assert.equal((await shared(cem))[0]?.rights, 'lri')
    await grant(anna, 'Team/Plans', 'ben@example.org', 's')
    assert.equal((await shared(ben))[0]?.rights, 'lrsi')
    assert.deepEqual(await shared(dora), [])
    await grant(anna, 'Team/Plans', 'dora@example.net', 'l')
    assert.equal((await shared(dora))[0]?.rights, 'l')
    await refused(dora.open('Other Users/anna@example.org/Team/Plans'), 'NOPERM')
    await refused(grant(anna, 'Team/Plans', 'nobody@example.org', 'l'), 'CANNOT')
    await refused(grant(anna, 'Team/Plans', 'anna@example.org', 'l'), 'CANNOT')
    await refused(ben.acl?.('Other Users/anna@example.org/Team/Plans'), 'NOPERM')
    await refused(grant(ben, 'Other Users/anna@example.org/Team/Plans', 'ben@example.org', ALL_RIGHTS), 'NOPERM')
    await ben.subscribe('Other Users/anna@example.org/Team/Plans', true)
    assert.equal((await shared(ben))[0]?.subscribed, true)
  }))

test('every right allows its own and no more', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    const name = 'Other Users/anna@example.org/INBOX'
    const { uids } = await anna.append('INBOX', [
      { bytes: message('one'), flags: ['\\Deleted', 'Work'] },
      { bytes: message('two'), flags: [] },
    ])
    const [first = 0] = uids
    const as_ = async (rights: string): Promise<Awaited<ReturnType<MailAccount['open']>>> => {
      await grant(anna, 'INBOX', 'ben@example.org', rights)
      return ben.open(name)
    }
    let box = await as_('lr')
    assert.equal(box.rights, 'lr')
    assert.equal((await box.snapshot()).uids.length, 2)
    assert.equal(text(await box.raw(first)), text(message('one')))
    await refused(box.store([first], { action: 'add', flags: ['\\Seen'] }), 'NOPERM')
    await refused(box.store([first], { action: 'set', flags: [] }), 'NOPERM')
    await refused(box.expunge([first]), 'NOPERM')
    await refused(box.move([first], 'INBOX'), 'NOPERM')
    await refused(box.replace(first, 'INBOX', { bytes: message('x'), flags: [] }), 'NOPERM')
    await refused(ben.append(name, [{ bytes: message('x'), flags: [] }]), 'NOPERM')
    await refused(ben.create(`${name}/Sub`), 'NOPERM')
    await refused(ben.create('Other Users/anna@example.org/Top'), 'NOPERM')
    await refused(ben.delete(name), 'NOPERM')
    await refused(ben.rename(name, 'Mine'), 'CANNOT')
    const flags = async (): Promise<readonly string[]> => {
      const { flags: sets, flagSets } = await (await anna.open('INBOX')).snapshot()
      return flagSets[sets[0] ?? 0] ?? []
    }
    // What may be changed is changed; the rest stays as it was.
    box = await as_('lrs')
    await box.store([first], { action: 'set', flags: ['\\Seen', '\\Flagged'] })
    assert.deepEqual([...(await flags())].sort(), ['Work', '\\Deleted', '\\Seen'])
    box = await as_('lrw')
    await box.store([first], { action: 'set', flags: ['\\Flagged'] })
    assert.deepEqual([...(await flags())].sort(), ['\\Deleted', '\\Flagged', '\\Seen'])
    await refused(box.store([first], { action: 'remove', flags: ['\\Deleted'] }), 'NOPERM')
    await box.store([first], { action: 'add', flags: ['\\Deleted', '\\Answered'] })
    // Flags that one may not set are left off what one puts there.
    await grant(anna, 'INBOX', 'ben@example.org', 'lri')
    await ben.append(name, [{ bytes: message('three'), flags: ['\\Seen', 'Work'] }])
    const { deleted, unseen, messages } = await ben.status(name)
    assert.deepEqual({ deleted, unseen, messages }, { deleted: 1, unseen: 2, messages: 3 })
    box = await as_('lrte')
    assert.deepEqual((await box.expunge(uids)).uids, [first])
    await grant(anna, 'INBOX', 'ben@example.org', 'lk')
    const sub = await ben.create(`${name}/Sub/Below`)
    assert.equal(sub.name, 'Other Users/anna@example.org/INBOX/Sub/Below')
    assert.deepEqual(
      (await shared(ben)).map((entry) => [entry.name.slice(29), entry.rights]),
      [
        ['INBOX', 'lk'],
        ['INBOX/Sub', 'lk'],
        ['INBOX/Sub/Below', 'lk'],
      ],
    )
    await refused(ben.delete(sub.name), 'NOPERM')
    await grant(anna, 'INBOX/Sub/Below', 'ben@example.org', 'lx')
    await ben.rename(sub.name, `${name}/Other`)
    await ben.delete(`${name}/Other`)
    await refused(anna.status('INBOX/Other'), 'NONEXISTENT')
    await refused(ben.delete(name), 'NOPERM')
  }))

test('what is taken back is gone at once, and the session hears of it', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    const { uids } = await anna.append('INBOX', [{ bytes: message('one'), flags: [] }])
    const found = until(ben, async () => (await shared(ben)).length === 1)
    await grant(anna, 'INBOX', 'ben@example.org', ALL_RIGHTS)
    await found
    const name = 'Other Users/anna@example.org/INBOX'
    const box = await ben.open(name)
    const lost = until(ben, async () => (await shared(ben)).length === 0)
    await grant(anna, 'INBOX', 'ben@example.org', undefined)
    await lost
    await refused(box.snapshot(), 'NONEXISTENT')
    await refused(box.delta(0), 'NONEXISTENT')
    await refused(box.raw(uids[0] ?? 0), 'NONEXISTENT')
    await refused(box.meta(uids, ['envelope'])[Symbol.asyncIterator]().next(), 'NONEXISTENT')
    await refused(box.store(uids, { action: 'add', flags: ['\\Seen'] }), 'NOPERM')
    await refused(box.expunge(uids), 'NONEXISTENT')
    await refused(box.copy(uids, 'INBOX'), 'NONEXISTENT')
    await refused(ben.append(name, [{ bytes: message('x'), flags: [] }]), 'TRYCREATE')
    assert.equal((await anna.status('INBOX')).unseen, 1)
  }))

test('a disabled owner’s mailboxes are closed to visitors, open ones too, until the owner is enabled', () =>
  village(async ({ as, people, told }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    const able = people.get('anna')
    assert.ok(able !== undefined)
    const { uids } = await anna.append('INBOX', [{ bytes: message('one'), flags: ['\\Deleted'] }])
    await ben.append('INBOX', [{ bytes: message('mine'), flags: [] }])
    const found = until(ben, async () => (await shared(ben)).length === 1)
    await grant(anna, 'INBOX', 'ben@example.org', ALL_RIGHTS)
    await found
    const name = 'Other Users/anna@example.org/INBOX'
    const box = await ben.open(name)
    const own = await ben.open('INBOX')
    const lost = until(ben, async () => (await shared(ben)).length === 0)
    people.set('anna', { ...able, disabled: true })
    for (const tell of told) tell({ kind: 'disabled', accountId: 'anna', address: able.address })
    await lost
    const one = { bytes: message('x'), flags: [] }
    await refused(ben.open(name), 'NONEXISTENT')
    await refused(ben.status(name), 'NONEXISTENT')
    await refused(ben.append(name, [one]), 'TRYCREATE')
    await refused(ben.create(`${name}/Below`), 'NONEXISTENT')
    await refused(ben.rename(name, `${name}/Below`), 'NONEXISTENT')
    await refused(ben.delete(name), 'NONEXISTENT')
    await refused(ben.metadata?.(name), 'NONEXISTENT')
    await refused(ben.acl?.(name), 'NONEXISTENT')
    await refused(grant(ben, name, 'cem@example.org', 'lr'), 'NONEXISTENT')
    await refused(own.copy([1], name), 'TRYCREATE')
    await refused(own.move([1], name), 'TRYCREATE')
    await refused(own.replace(1, name, one), 'TRYCREATE')
    // A session that had it selected.
    await refused(box.snapshot(), 'NONEXISTENT')
    await refused(box.delta(0), 'NONEXISTENT')
    await refused(box.keywords(), 'NONEXISTENT')
    await refused(box.raw(uids[0] ?? 0), 'NONEXISTENT')
    await refused(box.meta(uids, ['envelope'])[Symbol.asyncIterator]().next(), 'NONEXISTENT')
    await refused(box.store(uids, { action: 'add', flags: ['\\Seen'] }), 'NONEXISTENT')
    await refused(box.expunge(uids), 'NONEXISTENT')
    await refused(box.copy(uids, 'INBOX'), 'NONEXISTENT')
    await refused(box.move(uids, 'INBOX'), 'NONEXISTENT')
    await refused(box.replace(uids[0] ?? 0, 'INBOX', one), 'NONEXISTENT')
    const { messages, unseen } = await anna.status('INBOX')
    assert.deepEqual([messages, unseen, (await ben.status('INBOX')).messages], [1, 1, 1])
    const back = until(ben, async () => (await shared(ben)).length === 1)
    people.set('anna', able)
    for (const tell of told) tell({ kind: 'enabled', accountId: 'anna', address: able.address })
    await back
    assert.deepEqual([...(await box.snapshot()).uids], uids)
  }))

test('rights of a disabled account can be taken back, and none can be given to it', () =>
  village(async ({ as, people }) => {
    const anna = as('anna')
    await grant(anna, 'INBOX', 'ben@example.org', 'lr')
    people.set('ben', { ...account('ben'), disabled: true })
    await refused(grant(anna, 'INBOX', 'ben@example.org', 'lri'), 'CANNOT')
    await grant(anna, 'INBOX', 'Ben@example.org', undefined)
    assert.deepEqual([...((await anna.acl?.('INBOX')) ?? [])], [['anna@example.org', ALL_RIGHTS]])
    await refused(grant(anna, 'INBOX', 'nobody@example.org', undefined), 'CANNOT')
  }))

test('changes of a shared mailbox are heard by those it is shared with, others are not', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    const { id } = await anna.create('Plans')
    await grant(anna, 'Plans', 'ben@example.org', 'lr')
    const heard: (string | undefined)[] = []
    let wake: () => void = () => undefined
    ben.watch((changed) => {
      heard.push(changed)
      wake()
    })
    const next = (): Promise<void> => new Promise((resolve) => (wake = resolve))
    // Listening to the owner begins a moment after `watch`: a change made to be heard proves it.
    for (;;) {
      const one = next()
      await anna.append('Plans', [{ bytes: message('x'), flags: [] }])
      if (heard.includes(id)) break
      await Promise.race([one, new Promise((resolve) => setImmediate(resolve))])
    }
    heard.length = 0
    await anna.append('INBOX', [{ bytes: message('secret'), flags: [] }])
    await anna.append('Plans', [{ bytes: message('y'), flags: [] }])
    assert.deepEqual(heard, [id])
  }))

test('COPY, MOVE and REPLACE between accounts: the octets, the date, the flags that may be', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    await anna.create('Plans')
    await anna.create('Drop')
    await grant(anna, 'Plans', 'ben@example.org', 'lrswite')
    await grant(anna, 'Drop', 'ben@example.org', 'lri')
    const plans = 'Other Users/anna@example.org/Plans'
    const { uids } = await ben.append('INBOX', [
      { bytes: message('one'), flags: ['\\Seen', 'Work'], internalDate: 1_000_000_000_000, zone: 120 },
      { bytes: message('two'), flags: ['\\Deleted'] },
      { bytes: message('big', 'x'.repeat(700_000)), flags: [] },
    ])
    const inbox = await ben.open('INBOX')
    const copied = await inbox.copy([...uids, 99], plans)
    assert.deepEqual(copied.source, uids)
    const there = await (await anna.open('Plans')).snapshot()
    assert.deepEqual([...there.uids], copied.destination)
    assert.equal(there.internalDates[0], 1_000_000_000_000)
    assert.equal(there.zones[0], 120)
    assert.deepEqual(there.flagSets[there.flags[0] ?? 0], ['\\Seen', 'Work'])
    assert.equal(
      text(await (await anna.open('Plans')).raw(copied.destination[2] ?? 0)),
      text(message('big', 'x'.repeat(700_000))),
    )
    await refused(inbox.copy(uids, 'Other Users/anna@example.org/INBOX'), 'TRYCREATE')
    await refused(inbox.copy(uids, 'Other Users/nobody@example.org/INBOX'), 'TRYCREATE')
    // Within the other's mail, a copy keeps what identifies the message; flags that may not be are left off.
    const box = await ben.open(plans)
    const within = await box.copy(copied.destination.slice(0, 1), 'Other Users/anna@example.org/Drop')
    const ids = async (mailbox: string, uid: number): Promise<string | undefined> => {
      for await (const [meta] of (await ben.open(mailbox)).meta([uid], ['emailId'])) return meta?.emailId
      return undefined
    }
    assert.equal(
      await ids('Other Users/anna@example.org/Drop', within.destination[0] ?? 0),
      await ids(plans, copied.destination[0] ?? 0),
    )
    assert.notEqual(await ids(plans, copied.destination[0] ?? 0), await ids('INBOX', uids[0] ?? 0))
    const { unseen, messages } = await anna.status('Drop')
    assert.deepEqual({ unseen, messages }, { unseen: 1, messages: 1 })
    // Home again.
    const moved = await box.move(copied.destination.slice(1), 'INBOX')
    assert.deepEqual(moved.source, copied.destination.slice(1))
    assert.equal((await anna.status('Plans')).messages, 1)
    assert.equal((await ben.status('INBOX')).messages, 5)
    const replaced = await box.replace(copied.destination[0] ?? 0, 'INBOX', { bytes: message('new'), flags: [] })
    assert.equal((await anna.status('Plans')).messages, 0)
    assert.equal(text(await inbox.raw(replaced.uids[0] ?? 0)), text(message('new')))
    await refused(
      box.replace(copied.destination[0] ?? 0, 'INBOX', { bytes: message('new'), flags: [] }),
      'EXPUNGEISSUED',
    )
    await refused((await ben.open('Other Users/anna@example.org/Drop')).move(within.destination, 'INBOX'), 'NOPERM')
    assert.equal((await ben.status('INBOX')).messages, 6)
  }))

test('names: what lies above others’ mailboxes is nobody’s, and one’s own mailbox is one’s own', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    for (const name of ['Other Users', 'Other Users/anna@example.org', 'Other Users/x'])
      await refused(ben.create(name), 'CANNOT')
    await refused(ben.rename('Trash', 'Other Users'), 'CANNOT')
    await refused(ben.rename('Trash', 'Other Users/anna@example.org/Trash'), 'CANNOT')
    await refused(ben.status('Other Users'), 'NONEXISTENT')
    await refused(ben.status('Other Users/anna@example.org'), 'NONEXISTENT')
    await refused(ben.status('Other Users/ben@example.org/INBOX'), 'NONEXISTENT')
    await grant(anna, 'INBOX', 'ben@example.org', 'lr')
    assert.equal((await ben.status('Other Users/ANNA@Example.ORG/inbox')).messages, 0)
    assert.deepEqual(ben.namespaces, { others: 'Other Users/' })
  }))

test('notes: private ones are each user’s own, shared ones everybody’s; limits; they go with the mailbox', () =>
  village(async ({ as }) => {
    const [anna, ben] = [as('anna'), as('ben')]
    await anna.create('Plans')
    const name = 'Other Users/anna@example.org/Plans'
    const set = (mail: MailAccount, mailbox: string | undefined, entries: Record<string, string | undefined>) =>
      mail.setMetadata?.(
        mailbox,
        new Map(
          Object.entries(entries).map(([key, value]) => [key, value === undefined ? undefined : Buffer.from(value)]),
        ),
      )
    const all = async (mail: MailAccount, mailbox: string | undefined): Promise<Record<string, string>> =>
      Object.fromEntries([...((await mail.metadata?.(mailbox)) ?? [])].map(([key, value]) => [key, text(value) ?? '']))
    await refused(set(ben, name, { '/private/comment': 'x' }), 'NONEXISTENT')
    await grant(anna, 'Plans', 'ben@example.org', 'l')
    await refused(set(ben, name, { '/private/comment': 'x' }), 'NOPERM')
    await grant(anna, 'Plans', 'ben@example.org', 'lr')
    await set(anna, 'Plans', { '/private/comment': 'Annas', '/shared/comment': 'ours' })
    await refused(set(ben, name, { '/private/comment': 'x', '/shared/comment': 'x' }), 'NOPERM')
    const heard: unknown[] = []
    anna.watch((id, annotations) => heard.push([id, annotations]))
    await set(ben, name, { '/private/comment': 'Bens' })
    assert.deepEqual(heard, [], 'of others’ own notes nothing is told')
    assert.deepEqual(await all(anna, 'Plans'), { '/private/comment': 'Annas', '/shared/comment': 'ours' })
    assert.deepEqual(await all(ben, name), { '/private/comment': 'Bens', '/shared/comment': 'ours' })
    await grant(anna, 'Plans', 'ben@example.org', 'lrw')
    heard.length = 0
    await set(ben, name, { '/shared/comment': undefined, '/shared/vendor/x/colour': 'red' })
    const { id } = await anna.status('Plans')
    assert.deepEqual(heard, [[id, ['/shared/comment', '/shared/vendor/x/colour']]])
    await refused(set(anna, undefined, { '/shared/comment': 'x' }), 'NOPERM')
    await set(anna, undefined, { '/private/vendor/x/y': 'server' })
    assert.deepEqual(await all(ben, undefined), {})
    await refused(set(anna, 'Plans', { '/private/big': 'x'.repeat(65_537) }), 'METADATA MAXSIZE 65536')
    await refused(
      set(anna, 'Plans', Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`/private/n${i}`, 'x']))),
      'METADATA TOOMANY',
    )
    assert.equal(Object.keys(await all(anna, 'Plans')).length, 2)
    await anna.rename('Plans', 'Older')
    assert.equal((await all(ben, 'Other Users/anna@example.org/Older'))['/private/comment'], 'Bens')
    assert.equal((await anna.acl?.('Older'))?.get('ben@example.org'), 'lrw')
    await anna.delete('Older')
    await anna.create('Older')
    assert.deepEqual(await all(anna, 'Older'), {})
    assert.deepEqual([...((await anna.acl?.('Older'))?.keys() ?? [])], ['anna@example.org'])
    assert.deepEqual(await shared(ben), [])
    // RENAME of INBOX takes its notes along and leaves them.
    await set(anna, 'INBOX', { '/private/comment': 'in' })
    await anna.rename('INBOX', 'Saved')
    assert.deepEqual(await all(anna, 'Saved'), await all(anna, 'INBOX'))
  }))

test('a crash between the two lists: a share unseen, or a look in vain, until the owner comes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-sharing-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  await village(async ({ as, store }) => {
    const anna = as('anna')
    await anna.create('Plans')
    await anna.create('Old')
    await grant(anna, 'Old', 'ben@example.org', 'lr')
    assert.equal((await shared(as('ben'))).length, 1)
    // As if the server had died after the first half of each.
    const lists = store.account(mailStore, 'anna')
    await lists.setAcl({ name: 'Plans', visitor: undefined, identifier: 'cem', rights: 'lr' })
    await lists.setAcl({ name: 'Old', visitor: undefined, identifier: 'ben', rights: undefined })
  }, folder)
  await village(async ({ as, store }) => {
    const [ben, cem] = [as('ben'), as('cem')]
    assert.deepEqual(await shared(ben), [], 'what was taken back is gone, whatever the other list says')
    assert.deepEqual(await shared(cem), [])
    const seen = until(cem, async () => (await shared(cem)).length === 1)
    await as('anna').open('INBOX')
    await seen
    const core = store.core(shareStore)
    assert.equal((await core.sharedWith({ account: 'cem', domain: 'example.org' })).length, 1)
    assert.equal((await core.sharedWith({ account: 'ben', domain: 'example.org' })).length, 0)
  }, folder)
})

test('erasing an account ends what it shared and what was shared with it, for good', () =>
  village(async ({ as, erase, people, store }) => {
    const [anna, ben, cem] = [as('anna'), as('ben'), as('cem')]
    await grant(anna, 'INBOX', 'ben@example.org', 'lrw')
    await grant(anna, 'INBOX', 'cem@example.org', 'lr')
    await grant(ben, 'INBOX', 'anna@example.org', 'lr')
    await ben.setMetadata?.('Other Users/anna@example.org/INBOX', new Map([['/private/comment', Buffer.from('x')]]))
    const box = await anna.open('Other Users/ben@example.org/INBOX')
    const gone = until(anna, async () => (await shared(anna)).length === 0)
    await erase('ben')
    await gone
    assert.deepEqual([...((await anna.acl?.('INBOX'))?.keys() ?? [])], ['anna@example.org', 'cem@example.org'])
    await refused(box.snapshot(), 'NONEXISTENT')
    await refused(anna.open('Other Users/ben@example.org/INBOX'), 'NONEXISTENT')
    assert.deepEqual(
      await store.account(mailStore, 'anna').annotations({ name: 'INBOX', visitor: undefined, holder: 'ben' }),
      [],
    )
    assert.equal((await shared(cem)).length, 1)
    // Somebody new with the old address begins with nothing.
    people.set('ben2', { ...account('ben2'), address: 'ben@example.org' })
    assert.deepEqual(await shared(as('ben2')), [])
  }))

test('many people share with one: one list', () =>
  village(async ({ as, people, mailboxes }) => {
    for (let i = 0; i < 20; i++) people.set(`p${i}`, account(`p${i}`))
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        await mailboxes.room.create(account(`p${i}`))
        await grant(as(`p${i}`), 'INBOX', 'anyone', 'lr')
      }),
    )
    assert.equal((await shared(as('anna'))).length, 20)
    assert.equal((await shared(as('dora'))).length, 0)
  }))
