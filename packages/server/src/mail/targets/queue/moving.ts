// Moves what an older version kept in the core database into the queue's own.

import { parseMailAddress } from '@aviso/mime'
import type { Scope } from '../../../kernel/scope.ts'
import type { Calls, Store } from '../../../store/contracts.ts'
import { Message } from '../../pipeline/message.ts'
import type { QueueConfig } from './config.ts'
import type { RememberedClient } from './contracts.ts'
import { queueStore } from './core-store.ts'
import type { spoolStore } from './store.ts'

/**
 * Moves all, one mail after the other. Nothing may be tried before it has come to its end: a mail that was written here and not yet deleted there is written again
 * after a crash, which must find it as it was.
 */
export async function moveFromCore(
  store: Store,
  calls: Calls<typeof spoolStore.operations>,
  { expire }: QueueConfig,
  scope: Scope,
): Promise<void> {
  const old = store.core(queueStore)
  let moved = 0
  for (;;) {
    const mail = await old.first()
    if (mail === undefined) break
    const { id, created, sender, recipients, blob } = mail
    if (recipients.length > 0)
      await store.keeper.hold(async () => {
        const bytes = mail.bytes ?? (blob === null ? undefined : await store.blobs.get(blob))
        if (bytes === undefined) throw new Error(`the octets of the queued mail ${id} are missing`)
        const client: RememberedClient = {
          session: id,
          protocol: 'queue',
          remoteAddress: '',
          hello: '',
          extended: true,
        }
        const now = scope.clock.now()
        const { lines } = await calls.list({ filter: { ids: [id] }, after: [-1, -1], limit: 1 })
        if (lines.length > 0) return
        await calls.put([
          {
            mail: {
              id,
              created,
              reversePath: sender,
              sender,
              parameters: mail.parameters,
              client: JSON.stringify(client),
              quarantined: mail.quarantined,
              size: mail.size,
              head: Message.of(bytes).head.byteLength,
              blob,
            },
            bytes: mail.bytes,
            recipients: recipients.map(({ address, account, parameters }) => ({
              address,
              recipient: address,
              account,
              parameters,
              target: account === '' ? 'remote' : 'mailbox',
              destination: account === '' ? (parseMailAddress(address)?.domain ?? '') : '',
              held: false,
            })),
            first: now,
            wake: now + expire,
            expires: now + expire,
          },
        ])
      })
    await old.moved({ id })
    moved++
  }
  if (moved > 0) scope.log.info({ mails: moved }, 'the queue was moved into a database of its own')
}
