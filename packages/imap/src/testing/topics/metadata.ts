// Annotations of mailboxes and of the server (RFC 5464).

import assert from 'node:assert/strict'
import { BackendError, type Bytes, type MailAccount } from '../../backend.ts'
import { type Kit, refused } from '../kit.ts'
import { text } from '../mail.ts'

export function metadata(kit: Kit): void {
  kit.story('annotations are set, replaced and removed, of a mailbox and of the server', async (account, under) => {
    if (!offered(kit, account)) return
    await account.create('kit-a')
    const other = await under.open()
    for (const where of ['kit-a', 'INBOX', undefined]) {
      const all = async (): Promise<Record<string, string | undefined>> =>
        Object.fromEntries([...((await other.metadata?.(where)) ?? [])].map(([name, value]) => [name, text(value)]))
      assert.deepEqual(await all(), {})
      await set(account, where, {
        '/private/comment': 'first',
        '/private/vendor/kit/colour': '\x00\xff\r\n',
        '/private/empty': '',
      })
      assert.deepEqual(await all(), {
        '/private/comment': 'first',
        '/private/vendor/kit/colour': '\x00\xff\r\n',
        '/private/empty': '',
      })
      await set(account, where, {
        '/private/comment': 'second',
        '/private/empty': undefined,
        '/private/never': undefined,
      })
      assert.deepEqual(await all(), { '/private/comment': 'second', '/private/vendor/kit/colour': '\x00\xff\r\n' })
      await set(account, where, { '/private/comment': undefined, '/private/vendor/kit/colour': undefined })
      assert.deepEqual(await all(), {})
    }
    other.close()
  })

  kit.story('annotations belong to the mailbox: they go along with RENAME and end with DELETE', async (account) => {
    if (!offered(kit, account)) return
    await account.create('kit-a')
    await set(account, 'kit-a', { '/private/comment': 'mine' })
    await account.rename('kit-a', 'kit-b')
    assert.equal(text((await account.metadata?.('kit-b'))?.get('/private/comment')), 'mine')
    await account.delete('kit-b')
    await account.create('kit-b')
    assert.equal((await account.metadata?.('kit-b'))?.size, 0)
    const missing = async (): Promise<unknown> => account.metadata?.('kit-none')
    await refused(missing(), 'NONEXISTENT')
    await refused(set(account, 'kit-none', { '/private/comment': 'x' }), 'NONEXISTENT')
  })

  kit.story(
    'an annotation is a change of its mailbox: HIGHESTMODSEQ grows, and no message with it (RFC 7162 §3.2)',
    async (account) => {
      if (!offered(kit, account)) return
      await account.create('kit-a')
      const mailbox = await account.open('kit-a')
      const { highestModseq: before } = await account.status('kit-a')
      await set(account, 'kit-a', { '/private/comment': 'mine' })
      const { highestModseq: after } = await account.status('kit-a')
      assert.ok(after > before, `${after} > ${before}`)
      assert.equal((await mailbox.snapshot()).highestModseq, after)
      const delta = await mailbox.delta(before)
      assert.deepEqual([delta.highestModseq, delta.changed, delta.vanished], [after, [], []])
    },
  )

  kit.story('what is too big or too many is refused whole, and the limit named', async (account) => {
    if (!offered(kit, account)) return
    const refusal = async (entries: Readonly<Record<string, string>>, code: RegExp): Promise<void> => {
      await assert.rejects(set(account, 'INBOX', { '/private/good': 'kept?', ...entries }), (error: unknown) => {
        assert.ok(error instanceof BackendError && code.test(error.code ?? ''), String(error))
        return true
      })
      assert.equal((await account.metadata?.('INBOX'))?.size, 0, 'all or nothing')
    }
    await refusal({ '/private/big': 'x'.repeat(4 << 20) }, /^METADATA MAXSIZE \d+$/)
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`/private/n${i}`, 'x']))
    await refusal(many, /^METADATA TOOMANY$/)
  })
}

async function set(
  account: MailAccount,
  mailbox: string | undefined,
  entries: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  await account.setMetadata?.(
    mailbox,
    new Map(
      Object.entries(entries).map(([name, value]): [string, Bytes | undefined] => [
        name,
        value === undefined ? undefined : Buffer.from(value, 'latin1'),
      ]),
    ),
  )
}

function offered(kit: Kit, account: MailAccount): boolean {
  if (account.metadata === undefined) assert.ok(!kit.expects.has('metadata'), 'the store was said to have metadata')
  return account.metadata !== undefined
}
