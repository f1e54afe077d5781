// Whether the files that are written down are on the disk, and those on the disk are written down

import type { Calls, Files } from '../../store/contracts.ts'
import type { FileRow, filesStore } from './files.store.ts'

/**
 * `missing-file`: it is written down and not on the disk; `cut-file`: it is there with another size; `orphan-file`: nobody can get it, as it is not written down; `usage`: what the account is said
 * to take is not what its files take.
 */
export type FileFindingKind = 'missing-file' | 'cut-file' | 'orphan-file' | 'usage'

export interface FileFinding {
  readonly kind: FileFindingKind
  readonly text: string
  readonly repaired: boolean
}

export interface FilesExamination {
  /** The first of them; `more` were found besides. */
  readonly findings: readonly FileFinding[]
  readonly more: number
  /** All findings that are not put right. */
  readonly open: number
}

/** Findings that are told. */
const TOLD = 200
/** Rows of one call. */
const PAGE = 1000

type Rows = Calls<(typeof filesStore)['operations']>

/**
 * Looks at the files of one account; may run while they are used. With `repair`, what is not on the disk is forgotten, as nobody can get it, what is not written down is deleted, and
 * the account's usage is counted anew.
 */
export async function examineFiles(
  rows: Rows,
  files: Files,
  account: string,
  repair: boolean,
): Promise<FilesExamination> {
  // The disk first: what comes meanwhile is written down before it is there.
  const there = new Map((await files.list()).map(({ name, size }) => [name, size]))
  const findings: FileFinding[] = []
  const note = async (kind: FileFindingKind, text: string, mend: () => Promise<unknown>): Promise<void> => {
    if (repair) await mend()
    findings.push({ kind, text, repaired: repair })
  }
  const forget = (id: string) => async (): Promise<void> => {
    await rows.drop({ ids: [id], account })
    await files.delete(id)
    await rows.bury({ ids: [id] })
  }
  for await (const row of rowsOf(rows, account)) {
    const size = there.get(row.id)
    there.delete(row.id)
    if (row.state !== 'kept' || size === row.size) continue
    // It may have come, or gone, since the disk was looked at.
    const now = await sizeOf(files, row.id)
    if (now === row.size || (await rows.find({ id: row.id }))?.state !== 'kept') continue
    const what = `the file '${row.name}' (${row.id})`
    if (now === undefined) await note('missing-file', `${what} is not on the disk`, forget(row.id))
    else await note('cut-file', `${what} has ${now} octets in place of ${row.size}`, forget(row.id))
  }
  for (const [name, size] of there) {
    if ((await sizeOf(files, name)) === undefined) continue
    await note('orphan-file', `${name} on the disk, of ${size} octets, is no file that anybody could get`, () =>
      files.delete(name),
    )
  }
  const usage = await rows.recount({ account, repair })
  if (usage !== undefined)
    findings.push({
      kind: 'usage',
      text: `${usage.said.octets} octets in ${usage.said.files} files are said to be kept, and ${usage.real.octets} in ${usage.real.files} are`,
      repaired: repair,
    })
  return {
    findings: findings.slice(0, TOLD),
    more: Math.max(0, findings.length - TOLD),
    open: findings.filter(({ repaired }) => !repaired).length,
  }
}

async function* rowsOf(rows: Rows, account: string): AsyncGenerator<FileRow> {
  for (let after = 0; ;) {
    const page = await rows.page({ account, after, limit: PAGE })
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    after = last.number
  }
}

async function sizeOf(files: Files, name: string): Promise<number | undefined> {
  const file = await files.open(name)
  if (file === undefined) return undefined
  try {
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}
