// Thousands of accounts at once: hashes side by side, one transaction a batch.

import type { ImportOptions, ImportReport, NewAccountRequest } from './administration.ts'
import type { Form } from './config.ts'
import { type CreationHouse, makeAccounts, prepareAccount, sideBySide } from './creation.ts'
import { AccountError } from './errors.ts'
import type { NewAccount } from './operations/accounts.ts'

const BATCH = 250
const HASHES_AT_ONCE = 8

interface Row {
  readonly row: number
  readonly request: NewAccountRequest
}

/** See `AccountAdmin.importAccounts`. */
export async function importAccounts(
  house: CreationHouse,
  requests: Iterable<NewAccountRequest> | AsyncIterable<NewAccountRequest>,
  options: ImportOptions,
  by: string,
): Promise<ImportReport> {
  const forms = formsOf(house.passwords.forms, options.allForms === true)
  const size = Math.max(1, options.batch ?? BATCH)
  const failed: ImportReport['failed'][number][] = []
  let created = 0
  const flush = async (batch: readonly Row[]): Promise<void> => {
    const ready: { readonly row: Row; readonly account: NewAccount }[] = []
    const fail = ({ row, request }: Row, error: unknown): void => {
      // A defect is not a bad row.
      if (!(error instanceof AccountError)) throw error
      failed.push({ row, address: String(request.address).slice(0, 320), code: error.code, message: error.message })
    }
    await sideBySide(batch, HASHES_AT_ONCE, async (row) => {
      try {
        ready.push({ row, account: await prepareAccount(house, row.request, forms) })
      } catch (error) {
        fail(row, error)
      }
    })
    ready.sort((a, b) => a.row.row - b.row.row)
    const answers = await makeAccounts(
      house,
      ready.map(({ account }) => account),
      by,
    )
    for (const [index, { row }] of ready.entries()) {
      const error = answers[index]
      if (error === undefined) created++
      else fail(row, error)
    }
    failed.sort((a, b) => a.row - b.row)
    options.progress?.(created, failed.length)
  }
  let row = 0
  let batch: Row[] = []
  for await (const request of requests) {
    batch.push({ row: ++row, request })
    if (batch.length < size) continue
    await flush(batch)
    batch = []
  }
  if (batch.length > 0) await flush(batch)
  return { created, failed }
}

/** Without the dear argon2id, where something else remains. */
function formsOf(forms: readonly Form[], all: boolean): readonly Form[] {
  const cheap = forms.filter((form) => form !== 'argon2id')
  return all || cheap.length === 0 ? forms : cheap
}
