// Mail from elsewhere for one mailbox, on its way to the store.

import { type AppendMessage, BackendError } from '@aviso/imap'
import { answered } from './answers.ts'
import type { MailCalls } from './calls.ts'
import type { Imported } from './import-operations.ts'
import type { SharedRoom } from './mailbox.ts'
import type { Bounds } from './message-sizes.ts'

/** See `importMessages`. */
export interface Import {
  readonly mailbox: string
  readonly run: number
  readonly entries: readonly {
    readonly key: Uint8Array
    readonly nth: number | undefined
    readonly message: AppendMessage | undefined
  }[]
}

/** Takes the messages, all or none. Rejects with `BackendError`. */
export async function importInto(
  account: string,
  calls: MailCalls,
  { large, snapshots }: SharedRoom,
  { mailbox, run, entries }: Import,
  { appendLimit, limits }: { readonly appendLimit: number; readonly limits: Bounds },
): Promise<readonly Imported[]> {
  const octets = entries.flatMap(({ message }) => (message === undefined ? [] : [message.bytes]))
  if (octets.some((bytes) => bytes.byteLength > appendLimit))
    throw new BackendError('TOOBIG', `Messages may have ${appendLimit} octets at most`)
  const { answers, mailbox: id } = await large.keep(account, octets, (incoming) => {
    const waiting = incoming.values()
    return answered(
      calls.importMessages({
        mailbox,
        run,
        limits,
        entries: entries.map(({ key, nth, message }) => {
          const kept = message === undefined ? undefined : waiting.next().value
          if (message === undefined || kept === undefined) return { key, nth, message: undefined }
          const { flags, internalDate, zone } = message
          return { key, nth, message: { message: kept, flags, internalDate, zone } }
        }),
      }),
    )
  })
  snapshots.changed(account, calls, id, answers.filter((one) => one !== 'known' && 'uid' in one).length)
  return answers
}
