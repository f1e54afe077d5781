// Keys for a store that keeps none: made of the headers, each time they are asked for.

import { Headers } from '@aviso/mime'
import type { KeyField, Mailbox, MessageKeyBatch } from '../backend.ts'
import { joinKeys } from './key-list.ts'
import { messageKeys } from './keys.ts'

const EMPTY = new Uint8Array(0)

/** What `Mailbox.keys` promises, by reading every header. */
export async function* keysFromHeaders(
  mailbox: Pick<Mailbox, 'meta'>,
  uids: readonly number[],
  field: KeyField,
): AsyncGenerator<MessageKeyBatch> {
  for await (const batch of mailbox.meta(uids, ['header'])) {
    if (batch.length === 0) continue
    yield {
      uids: batch.map(({ uid }) => uid),
      keys: joinKeys(batch.map(({ header }) => messageKeys(Headers.parse(header ?? EMPTY))[field])),
    }
  }
}
