// aviso doctor ...

import { Command } from 'commander'
import type { FilesExamination } from '../../chat/administration.ts'
import type { Examination } from '../../mail/administration.ts'
import { printable } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import { type Admin, OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { show, UsageError } from '../terminal.ts'

/** An account that could not be examined at all, and why. */
interface Failed {
  readonly address: string
  readonly error: string
}

type Result = Examination | FilesResult
type FilesResult = FilesExamination & { readonly address: string }

interface Checkup {
  readonly name: string
  readonly description: string
  readonly repair: string
  examine(admin: Admin, address: string, repair: boolean): Promise<Result>
}

const CHECKUPS: readonly Checkup[] = [
  {
    name: 'mail',
    description:
      'of one account, or all: counts, references, contents, large messages in files, what is kept ready. May run while the account is in use',
    repair: 'put right what can be computed anew; nothing that holds mail is thrown away',
    examine: (admin, address, repair) => admin.ask('mail.examine', { address, repair }),
  },
  {
    name: 'files',
    description:
      'uploaded files, of one account, or all: whether those that are written down are on the disk, and no others. May run while the account is in use',
    repair: 'forget files that are lost, delete those that nobody can get, count anew what the account takes',
    examine: (admin, address, repair) => admin.ask('files.examine', { address, repair }),
  },
]

export function doctorCommand(programme: Programme): Command {
  const doctor = new Command('doctor').description('looks whether what is kept is whole, and puts it right')
  for (const checkup of CHECKUPS)
    common(doctor.command(`${checkup.name} [address]`).description(checkup.description))
      .option('--all', 'all accounts')
      .option('--repair', checkup.repair)
      .action((address: string | undefined, options: Options) => carryOut(programme, checkup, address, options))
  return doctor
}

type Options = CommonOptions & { readonly all?: boolean; readonly repair?: boolean }

async function carryOut(
  programme: Programme,
  checkup: Checkup,
  address: string | undefined,
  options: Options,
): Promise<void> {
  if ((address === undefined) === (options.all !== true))
    throw new UsageError('name one account, or say --all for all of them')
  const repair = options.repair === true
  const results: (Result | Failed)[] = []
  await withAdmin(programme, options, async (admin) => {
    for await (const one of address === undefined ? addresses(admin) : [address]) {
      const result = await examine(checkup, admin, one, repair, address !== undefined)
      results.push(result)
      // With thousands of accounts nobody waits for the end to read the beginning.
      if (options.json !== true) process.stdout.write(`${sentences(result, repair)}\n`)
    }
  })
  if (options.json === true) show(true, results, () => '')
  if (results.some((result) => 'error' in result || result.open > 0)) process.exitCode = 1
}

async function* addresses(admin: Admin): AsyncGenerator<string> {
  for (let after: string | undefined; ;) {
    const rows = await admin.ask('account.list', { limit: 1000, ...(after === undefined ? {} : { after }) })
    for (const { address } of rows) yield address
    after = rows.at(-1)?.address
    if (rows.length < 1000 || after === undefined) return
  }
}

/** One account that cannot be opened must not keep the others from being looked at. */
async function examine(
  checkup: Checkup,
  admin: Admin,
  address: string,
  repair: boolean,
  alone: boolean,
): Promise<Result | Failed> {
  try {
    return await checkup.examine(admin, address, repair)
  } catch (error) {
    if (!(error instanceof OperationError) || alone) throw error
    return { address, error: error.message }
  }
}

function sentences(result: Result | Failed, repair: boolean): string {
  if ('error' in result) return `${result.address}: cannot be examined: ${printable(result.error)}`
  const { address, findings, more, open } = result
  if (findings.length === 0) return `${address}: all is well.`
  const found = findings.length + more
  const summary = [
    `${address}: ${found === 1 ? 'one thing is' : `${found} things are`} wrong`,
    repair && open < found ? `, ${found - open} of them repaired` : '',
    open === 0
      ? '.'
      : repair
        ? `; ${open} cannot be repaired from what is here.`
        : '; --repair puts right what can be.',
  ].join('')
  return [
    summary,
    ...findings.map((finding) => `  ${sentence(finding)}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join('\n')
}

function sentence(finding: Result['findings'][number]): string {
  const { text, repaired, kind } = finding
  const messages = 'messages' in finding ? finding.messages : []
  const where =
    messages.length === 0
      ? ''
      : ` That is ${messages
          .slice(0, 5)
          .map(({ mailbox, uid }) => `message ${uid} of ${mailbox}`)
          .join(', ')}${messages.length > 5 ? ` and ${messages.length - 5} more` : ''}.`
  const done = repaired ? ' Repaired.' : LOST.has(kind) ? ' Only a backup has it.' : ''
  // What begins with the name of a mailbox keeps its spelling.
  const said = NAMED.has(kind) && !text.startsWith('the ') ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}`
  return printable(`${said}.${where}${done}`)
}

/** Kinds of findings that are of one mailbox. */
const NAMED: ReadonlySet<string> = new Set(['counter', 'numbers', 'packed'])

/** What nothing else here says. */
const LOST: ReadonlySet<string> = new Set(['dangling', 'content', 'missing-blob', 'missing-file', 'cut-file'])
