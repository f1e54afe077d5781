// Keys for sorting and threading.

import assert from 'node:assert/strict'
import { Headers, parseStructure } from '@aviso/mime'
import type { KeyField } from '../../backend.ts'
import { messageKeys } from '../../render/keys.ts'
import { CORPUS } from '../corpus.ts'
import { type Kit } from '../kit.ts'
import { add, keysOf } from '../mail.ts'

const FIELDS: readonly KeyField[] = ['subject', 'from', 'to', 'cc', 'displayFrom', 'displayTo', 'sent', 'threading']

export function keys(kit: Kit): void {
  kit.story('every key equals what messageKeys makes of the header', async (account) => {
    const { uids } = await account.append(
      'INBOX',
      CORPUS.map((bytes) => ({ bytes, flags: [] })),
    )
    const mailbox = await account.open('INBOX')
    for (const field of FIELDS) {
      const expected = CORPUS.map((bytes, i) => {
        const headers = Headers.parse(bytes, 0, parseStructure(bytes).bodyStart)
        return [uids[i] ?? 0, messageKeys(headers)[field]] as const
      })
      assert.deepEqual(
        await keysOf(mailbox, [99_999, ...uids.toReversed(), ...uids.slice(0, 2)], field),
        expected,
        field,
      )
    }
  })

  kit.story('keys of some messages are of those only, and copies have the same', async (account) => {
    await account.create('kit-to')
    const a = await add(account, 'INBOX', 'Re: Alpha')
    await add(account, 'INBOX', 'Beta')
    const mailbox = await account.open('INBOX')
    assert.deepEqual(await keysOf(mailbox, [a], 'subject'), [[a, 'alpha']])
    assert.deepEqual(await keysOf(mailbox, [], 'subject'), [])
    const copy = (await mailbox.copy([a], 'kit-to')).destination[0] ?? 0
    assert.deepEqual(await keysOf(await account.open('kit-to'), [copy], 'subject'), [[copy, 'alpha']])
  })
}
