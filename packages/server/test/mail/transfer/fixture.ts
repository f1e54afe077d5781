// An account with mail, its administrators' door, and archives in a folder.

import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AccountAdmin } from '../../../src/accounts/administration.ts'
import { AccountError } from '../../../src/accounts/errors.ts'
import { createMailAdmin } from '../../../src/mail/admin.ts'
import type { MailAdmin, MailboxLine, MessageLine, MessageQuery } from '../../../src/mail/administration.ts'
import type { ExportOptions, ExportSource } from '../../../src/mail/transfer/export.ts'
import { findFolders } from '../../../src/mail/transfer/folders.ts'
import { type ImportReport, type ImportSink, importMail, type Problem } from '../../../src/mail/transfer/import.ts'
import type { MailboxesOptions } from '../../../src/mail/mailboxes/mailboxes.ts'
import { account, type House, openHouse } from '../mailboxes/fixture.ts'
import { temporaryFolder } from '../../house/fixture.ts'

export const ANNA = 'anna@example.org'
const LIMIT = 1024 * 1024

export interface Room {
  readonly house: House
  readonly door: MailAdmin
  readonly folder: string
  /** Puts files into the folder; the times of some, in seconds. */
  files(files: Readonly<Record<string, string | Uint8Array>>, times?: Readonly<Record<string, number>>): void
  /** Imports from `name` in the folder into anna's mailboxes; `sink` may stand between. */
  import(name: string, sink?: (real: ImportSink) => ImportSink): Promise<ImportReport & { problems: Problem[] }>
  list(mailbox: string, query?: MessageQuery): Promise<readonly MessageLine[]>
  source: ExportSource
  exporting(target: string): Promise<ExportOptions & { problems: unknown[] }>
}

export async function openRoom(t: TestContext, options: MailboxesOptions = {}): Promise<Room> {
  const house = await openHouse({ appendLimit: LIMIT, ...options })
  t.after(() => house.close())
  await house.mailboxes.room.create(account('anna'))
  const folder = temporaryFolder(t)
  const accounts = {
    async showAccount(address: string) {
      if (address !== ANNA) throw new AccountError('not-found', `there is no account ${address}`)
      return account('anna')
    },
    listAccounts: async () => [account('anna')],
  } as unknown as AccountAdmin
  const limit = options.appendLimit ?? LIMIT
  const door = createMailAdmin(
    () => accounts,
    () => house.mailboxes,
    () => limit,
  )
  let run = 0
  const list = async (mailbox: string, query: MessageQuery = {}, after = 0): Promise<readonly MessageLine[]> => {
    const { rows, next } = await door.messages(ANNA, mailbox, query, { after, limit: 100, headers: true })
    return next === undefined ? rows : [...rows, ...(await list(mailbox, query, next))]
  }
  const source: ExportSource = {
    async *lines(mailbox, after) {
      for (;;) {
        const page = await door.messages(ANNA, mailbox, {}, { after, limit: 7, headers: false })
        yield page.rows
        if (page.next === undefined) return
        after = page.next
      }
    },
    async *messages(mailbox, lines) {
      for (const line of lines) {
        const bytes = await door.octets(ANNA, mailbox, line.uid, 0)
        if (bytes !== undefined) yield { line, bytes }
      }
    },
  }
  return {
    house,
    door,
    folder,
    list,
    source,
    files(files, times = {}) {
      for (const [name, content] of Object.entries(files)) {
        const path = join(folder, name)
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, content)
        const time = times[name]
        if (time !== undefined) utimesSync(path, time, time)
      }
    },
    async import(name, between = (real) => real) {
      const { folders } = await findFolders(join(folder, name))
      const problems: Problem[] = []
      const number = ++run
      const sink: ImportSink = (mailbox, parcels) =>
        door.import(ANNA, {
          mailbox,
          run: number,
          entries: parcels.map(({ key, nth, message }) => ({ key, nth, mail: message })),
        })
      const report = await importMail({
        folders: folders.map((one) => ({ ...one, mailbox: one.name })),
        sink: between(sink),
        limit,
        quoting: 'mboxrd',
        problem: (problem) => void problems.push(problem),
        progress: () => {},
      })
      return { ...report, problems }
    },
    async exporting(target) {
      const problems: unknown[] = []
      const mailboxes: readonly MailboxLine[] = await door.mailboxes(ANNA)
      return {
        target: join(folder, target),
        mailboxes,
        source,
        progress: () => {},
        problem: (one) => problems.push(one),
        problems,
      }
    },
  }
}
