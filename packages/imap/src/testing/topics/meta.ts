// Rendered pieces of messages, and the identities of RFC 8474.

import assert from 'node:assert/strict'
import type { MetaField } from '../../backend.ts'
import { renderMessage } from '../../render/message.ts'
import { CORPUS } from '../corpus.ts'
import { type Kit } from '../kit.ts'
import { add, message, metas, put, text, uidsIn } from '../mail.ts'

const RENDERED = ['envelope', 'bodyStructure', 'body', 'header', 'commonHeader', 'preview'] as const

export function meta(kit: Kit): void {
  kit.story('meta answers what was asked, ascending, and passes over the unknown', async (account) => {
    for (let i = 0; i < 5; i++) await add(account, 'INBOX', `meta ${i}`)
    const mailbox = await account.open('INBOX')
    const uids = await uidsIn(mailbox)
    const found = await metas(
      mailbox,
      [4_000_000, ...uids.toReversed()],
      ['envelope', 'header', 'bodyStructure', 'body'],
    )
    assert.deepEqual(
      found.map((meta) => meta.uid),
      uids,
    )
    for (const [i, meta] of found.entries()) {
      assert.match(text(meta.envelope) ?? '', new RegExp(`^\\(.*"meta ${i}".*\\)$`, 's'))
      assert.match(text(meta.bodyStructure) ?? '', /^\("TEXT" "PLAIN".*\)$/is)
      assert.match(text(meta.body) ?? '', /^\("TEXT" "PLAIN".*\)$/is)
      assert.equal(text(meta.header), (text(message(`meta ${i}`)) ?? '').replace(/Hello\r\n$/, ''))
    }
    const all: readonly MetaField[] = [...RENDERED, 'emailId', 'threadId', 'saveDate']
    for (const field of all) {
      const [only] = await metas(mailbox, uids.slice(0, 1), [field])
      assert.ok(only !== undefined && only[field] !== undefined, `${field} was asked for`)
      for (const other of all) if (other !== field) assert.equal(only[other], undefined, `${other} was not`)
    }
  })

  kit.story(
    'every rendered piece equals what renderMessage makes of the octets, whatever they are',
    async (account) => {
      const { uids } = await account.append(
        'INBOX',
        CORPUS.map((bytes) => ({ bytes, flags: [] })),
      )
      const mailbox = await account.open('INBOX')
      const found = await metas(mailbox, uids, RENDERED)
      assert.equal(found.length, CORPUS.length)
      for (const [i, meta] of found.entries()) {
        const rendered = renderMessage(CORPUS[i] ?? new Uint8Array())
        for (const field of RENDERED) assert.equal(text(meta[field]), text(rendered[field]), `${field} of message ${i}`)
      }
    },
  )

  kit.story('hundreds of messages come in batches, none twice', async (account) => {
    const { uids } = await account.append(
      'INBOX',
      Array.from({ length: 300 }, (_, i) => ({ bytes: message(`batch ${i}`), flags: [] })),
    )
    const mailbox = await account.open('INBOX')
    const found = await metas(mailbox, [...uids, ...uids], ['envelope'])
    assert.deepEqual(
      found.map((one) => one.uid),
      uids,
    )
    found.forEach((one, i) => assert.ok(text(one.envelope)?.includes(`"batch ${i}"`)))
    // A reader who leaves early leaves nothing hanging.
    for await (const batch of mailbox.meta(uids, ['header'])) {
      assert.ok(batch.length > 0)
      break
    }
    assert.equal(text(await mailbox.raw(uids[0] ?? 0)), text(message('batch 0')))
  })

  kit.story('EMAILID is kept by COPY and MOVE, and never given to other content', async (account) => {
    await account.create('kit-to')
    const a = await add(account, 'INBOX', 'first')
    const b = await add(account, 'INBOX', 'second')
    const inbox = await account.open('INBOX')
    const target = await account.open('kit-to')
    const emailId = async (mailbox: typeof inbox, uid: number): Promise<string> => {
      const [found] = await metas(mailbox, [uid], ['emailId'])
      assert.match(found?.emailId ?? '', /^[A-Za-z0-9_-]{1,255}$/)
      return found?.emailId ?? ''
    }
    const [one, two] = [await emailId(inbox, a), await emailId(inbox, b)]
    assert.notEqual(one, two)
    const copy = (await inbox.copy([a], 'kit-to')).destination[0] ?? 0
    assert.equal(await emailId(target, copy), one)
    await inbox.store([a], { action: 'add', flags: ['\\Seen', 'Kit'] })
    assert.equal(await emailId(inbox, a), one)
    const moved = (await inbox.move([a], 'kit-to')).destination[0] ?? 0
    assert.equal(await emailId(target, moved), one)
    const back = (await target.move([copy], 'INBOX')).destination[0] ?? 0
    assert.equal(await emailId(inbox, back), one)
    assert.equal(await emailId(inbox, b), two)
  })

  kit.story('THREADID groups what answers each other, in all mailboxes', async (account) => {
    await account.create('kit-sent')
    const send = (mailbox: string, id: string, fields: Readonly<Record<string, string>>): Promise<number> => {
      const header = Object.entries({
        From: 'a@example.org',
        Subject: `thread ${id}`,
        'Message-ID': `<${id}@kit>`,
        ...fields,
      })
      const bytes = Buffer.from(`${header.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\nHello\r\n`)
      return put(account, mailbox, { bytes, flags: [] })
    }
    const root = await send('INBOX', 'root', {})
    const reply = await send('kit-sent', 'reply', { 'In-Reply-To': '<root@kit>', References: '<root@kit>' })
    const second = await send('INBOX', 'second', { 'In-Reply-To': '<reply@kit>' })
    const third = await send('INBOX', 'third', { References: '<gone@kit> <second@kit>' })
    const stranger = await send('INBOX', 'stranger', {})
    const inbox = await account.open('INBOX')
    const sent = await account.open('kit-sent')
    const threads = (await metas(inbox, [root, second, third, stranger], ['threadId'])).map((one) => one.threadId)
    assert.ok(threads.every((id) => /^[A-Za-z0-9_-]{1,255}$/.test(id ?? '')))
    const [thread] = threads
    assert.deepEqual(threads.slice(0, 3), [thread, thread, thread])
    assert.notEqual(threads[3], thread)
    assert.equal((await metas(sent, [reply], ['threadId']))[0]?.threadId, thread)
    const copy = (await inbox.copy([root], 'kit-sent')).destination[0] ?? 0
    assert.equal((await metas(sent, [copy], ['threadId']))[0]?.threadId, thread)
  })

  kit.story('messages without any id are threads of their own', async (account) => {
    const bare = Buffer.from('Subject: bare\r\n\r\none\r\n')
    const uids = [
      await put(account, 'INBOX', { bytes: bare, flags: [] }),
      await put(account, 'INBOX', { bytes: Buffer.from('Subject: bare\r\n\r\ntwo\r\n'), flags: [] }),
    ]
    const found = await metas(await account.open('INBOX'), uids, ['threadId'])
    assert.equal(found.length, 2)
    assert.notEqual(found[0]?.threadId, found[1]?.threadId)
  })

  kit.story('SAVEDATE is when a message came into this mailbox', async (account) => {
    await account.create('kit-to')
    const uid = await add(account, 'INBOX', 'old', [], Date.UTC(2001, 0, 1))
    const inbox = await account.open('INBOX')
    const target = await account.open('kit-to')
    const [saved] = await metas(inbox, [uid], ['saveDate'])
    assert.ok(Number.isFinite(saved?.saveDate))
    assert.notEqual(saved?.saveDate, Date.UTC(2001, 0, 1), 'not INTERNALDATE')
    await inbox.store([uid], { action: 'add', flags: ['\\Seen'] })
    const [again] = await metas(inbox, [uid], ['saveDate'])
    assert.equal(again?.saveDate, saved?.saveDate, 'flags do not change it')
    const copy = (await inbox.copy([uid], 'kit-to')).destination[0] ?? 0
    const [copied] = await metas(target, [copy], ['saveDate'])
    assert.ok((copied?.saveDate ?? 0) >= (saved?.saveDate ?? 0))
  })
}
