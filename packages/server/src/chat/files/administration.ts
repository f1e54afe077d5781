// What an administrator does with uploaded files: for the command line and the web.

import type { Account, Accounts } from '../../accounts/contracts.ts'
import { AccountError } from '../../accounts/errors.ts'
import type { FilesExamination } from './doctor.ts'
import type { FileUsage, StoredFile } from './files.store.ts'
import type { Shelf } from './shelf.ts'

/** A file, and the address of its owner; '' where there is no such account any more. */
export interface FileLine extends StoredFile {
  readonly owner: string
}

/** Places that are taken and not filled yet count as files. */
export interface FilesUsage {
  readonly all: FileUsage
  /** Those that take the most. `day`: octets that were uploaded in the last day, where one account was asked for. */
  readonly accounts: readonly (FileUsage & { readonly owner: string; readonly day?: number })[]
}

/** Methods reject with `AccountError` where there is no such account. */
export interface FilesAdmin {
  /** Newest first, those before the number `before`; 200 or `limit`. */
  list(query: {
    readonly address?: string
    readonly before?: number
    readonly limit?: number
  }): Promise<readonly FileLine[]>
  usage(address?: string): Promise<FilesUsage>
  /** Tells how many there were. */
  delete(ids: readonly string[]): Promise<number>
  /** Deletes what an account has uploaded; tells how many files that were. */
  deleteAll(address: string): Promise<number>
  /** Looks whether the files of an account are all on the disk, and no others; with `repair` puts it right. */
  examine(address: string, repair: boolean): Promise<FilesExamination & { readonly address: string }>
}

const PAGE = 200
const MOST = 1000

export function createFilesAdmin(shelf: () => Shelf, accounts: () => Accounts): FilesAdmin {
  const accountOf = async (address: string): Promise<Account> => {
    const account = await accounts().byAddress(address)
    if (account === undefined) throw new AccountError('not-found', `there is no account ${address}`)
    return account
  }
  const owners = async (ids: Iterable<string>): Promise<ReadonlyMap<string, string>> => {
    const found = new Map<string, string>()
    for (const id of new Set(ids)) found.set(id, (await accounts().byId(id))?.address ?? '')
    return found
  }
  return {
    async list({ address, before = Number.MAX_SAFE_INTEGER, limit = PAGE }) {
      const account = address === undefined ? undefined : (await accountOf(address)).id
      const files = await shelf().list({
        before,
        limit: Math.min(limit, MOST),
        ...(account !== undefined && { account }),
      })
      const names = await owners(files.map((file) => file.account))
      return files.map((file) => ({ ...file, owner: names.get(file.account) ?? '' }))
    },
    async usage(address) {
      const { all, accounts: most } = await shelf().usages(PAGE)
      if (address !== undefined) {
        const { id } = await accountOf(address)
        return { all, accounts: [{ owner: address, ...(await shelf().usage(id)) }] }
      }
      const names = await owners(most.map(({ account }) => account))
      return {
        all,
        accounts: most.map(({ account, files, octets }) => ({ owner: names.get(account) ?? '', files, octets })),
      }
    },
    delete: (ids) => shelf().delete(ids.slice(0, MOST)),
    deleteAll: async (address) => shelf().deleteAll((await accountOf(address)).id),
    examine: async (address, repair) => ({
      address,
      ...(await shelf().examine((await accountOf(address)).id, repair)),
    }),
  }
}
