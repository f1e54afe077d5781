// A store in a folder of its own, with the mailboxes room on it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MailAccount } from '@aviso/imap'
import type { Account } from '../../../src/accounts/contracts.ts'
import { HandClock } from '../../../src/kernel/clock.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { Metrics } from '../../../src/kernel/metrics.ts'
import { SeededRandom } from '../../../src/kernel/random.ts'
import { Scope } from '../../../src/kernel/scope.ts'
import { openAppendLimits } from '../../../src/mail/mailboxes/append-limits.ts'
import { appendLimitStore } from '../../../src/mail/mailboxes/append-limits.store.ts'
import { type Mailboxes, type MailboxesOptions, openMailboxes } from '../../../src/mail/mailboxes/mailboxes.ts'
import { shareStore } from '../../../src/mail/mailboxes/sharing/shares.store.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import type { Store } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'

export interface House {
  readonly scope: Scope
  readonly clock: HandClock
  readonly store: Store
  readonly mailboxes: Mailboxes
  readonly folder: string
  open(id?: string): MailAccount
  close(): Promise<void>
}

export const account = (id: string): Account => ({
  id,
  address: `${id}@example.org`,
  local: id,
  domain: 'example.org',
  role: 'user',
  disabled: false,
})

/** Opens the house in `folder`, or in a new one that goes when the house is closed. */
export async function openHouse(options: MailboxesOptions & { readonly folder?: string } = {}): Promise<House> {
  const { folder: given, ...rest } = options
  const folder = given ?? mkdtempSync(join(tmpdir(), 'aviso-mail-'))
  const clock = new HandClock()
  const scope = Scope.root({ log: silentLog(), metrics: new Metrics(), clock, random: new SeededRandom(7) })
  const store = await openStore(scope, { folder, definitions: [mailStore, shareStore, appendLimitStore] })
  const mailboxes = openMailboxes(scope, store, { appendLimits: await openAppendLimits(scope, store), ...rest })
  return {
    scope,
    clock,
    store,
    mailboxes,
    folder,
    open: (id = 'anna') => mailboxes.open(account(id)),
    async close() {
      await scope.close()
      if (given === undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A small message. */
export const message = (subject: string, body = 'Hello\r\n'): Uint8Array =>
  Buffer.from(
    `From: Bo <bo@example.net>\r\nTo: anna@example.org\r\nSubject: ${subject}\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\nMessage-ID: <${encodeURIComponent(subject)}@example.net>\r\n\r\n${body}`,
  )

export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1')
