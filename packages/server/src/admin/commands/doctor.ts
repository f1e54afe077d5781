// aviso doctor ...

import { Command } from 'commander'
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

export function doctorCommand(programme: Programme): Command {
  const doctor = new Command('doctor').description('looks whether what is kept is whole, and puts it right')

  common(
    doctor
      .command('mail [address]')
      .description(
        'of one account, or all: counts, references, contents, large messages in files, what is kept ready. May run while the account is in use',
      ),
  )
    .option('--all', 'all accounts')
    .option('--repair', 'put right what can be computed anew; nothing that holds mail is thrown away')
    .action(
      async (
        address: string | undefined,
        options: CommonOptions & { readonly all?: boolean; readonly repair?: boolean },
      ) => {
        if ((address === undefined) === (options.all !== true))
          throw new UsageError('name one account, or say --all for all of them')
        const repair = options.repair === true
        const results: (Examination | Failed)[] = []
        await withAdmin(programme, options, async (admin) => {
          for await (const one of address === undefined ? addresses(admin) : [address]) {
            const result = await examine(admin, one, repair, address !== undefined)
            results.push(result)
            // With thousands of accounts nobody waits for the end to read the beginning.
            if (options.json !== true) process.stdout.write(`${sentences(result, repair)}\n`)
          }
        })
        if (options.json === true) show(true, results, () => '')
        if (results.some((result) => 'error' in result || result.open > 0)) process.exitCode = 1
      },
    )
  return doctor
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
async function examine(admin: Admin, address: string, repair: boolean, alone: boolean): Promise<Examination | Failed> {
  try {
    return await admin.ask('mail.examine', { address, repair })
  } catch (error) {
    if (!(error instanceof OperationError) || alone) throw error
    return { address, error: error.message }
  }
}

function sentences(result: Examination | Failed, repair: boolean): string {
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

function sentence({ text, messages, repaired, kind }: Examination['findings'][number]): string {
  const where =
    messages.length === 0
      ? ''
      : ` That is ${messages
          .slice(0, 5)
          .map(({ mailbox, uid }) => `message ${uid} of ${mailbox}`)
          .join(', ')}${messages.length > 5 ? ` and ${messages.length - 5} more` : ''}.`
  const done = repaired ? ' Repaired.' : LOST.has(kind) ? ' Only a backup has it.' : ''
  return printable(`${text.charAt(0).toUpperCase()}${text.slice(1)}.${where}${done}`)
}

/** What nothing else here says. */
const LOST: ReadonlySet<string> = new Set(['dangling', 'content', 'missing-blob'])
