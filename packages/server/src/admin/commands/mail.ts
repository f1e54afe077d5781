// aviso mail ...; import and export are here

import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import type { Found } from '../../mail/transfer/folders.ts'
import type { ExportReport, ExportSource } from '../../mail/transfer/export.ts'
import type { ImportReport, ImportSink } from '../../mail/transfer/import.ts'
import type { Quoting } from '../../mail/transfer/mbox-reader.ts'
import { several } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { ImportEntryOnWire } from '../mail-operations.ts'
import { fetchMessages, listMessages, onWire } from '../mail-wire.ts'
import { type Admin, OperationError } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { explainCommand, simulateCommand } from './mail-ways.ts'
import { ProgressLine, sizeText } from '../progress.ts'
import { show, table, UsageError } from '../terminal.ts'

export function mailCommand(programme: Programme): Command {
  const mail = new Command('mail').description('bring mail from elsewhere, take it along, and see what became of it')
  mail.addCommand(importCommand(programme))
  mail.addCommand(exportCommand(programme))
  mail.addCommand(explainCommand(programme))
  mail.addCommand(simulateCommand(programme))
  return mail
}

/** Problems that are printed and put into the JSON; the others are counted. */
const MOST_PROBLEMS = 1000

interface ImportOptions extends CommonOptions {
  readonly into?: string
  readonly map?: readonly string[]
  readonly skip?: readonly string[]
  readonly quoting: Quoting
  readonly again?: boolean
  readonly dryRun?: boolean
}

function importCommand(programme: Programme): Command {
  return common(
    new Command('import').description(
      'take mail from an mbox, a Maildir, a folder of mbox or .eml files; run it again after an interruption, each message comes in once',
    ),
  )
    .arguments('<address> <source>')
    .option(
      '--into <mailbox>',
      "the mailbox that a single folder goes to (default: INBOX), or that the source's folders go below",
    )
    .option('--map <old=new>', 'a folder of the source and the mailbox for it; again for more', several)
    .option('--skip <folder>', 'leave a folder of the source out; again for more', several)
    .addOption(
      new Option('--quoting <form>', 'how an mbox quotes lines that begin with From')
        .choices(['mboxrd', 'mboxo'])
        .default('mboxrd'),
    )
    .option('--again', 'take what came in before once more')
    .option('--dry-run', 'only tell which folder goes where')
    .action(async (address: string, source: string, options: ImportOptions) => {
      // Loaded only here: readers of archives are for those who import.
      const [{ findFolders }, { mapping }, { importMail }] = await Promise.all([
        import('../../mail/transfer/folders.ts'),
        import('../../mail/transfer/mapping.ts'),
        import('../../mail/transfer/import.ts'),
      ])
      // Before anything else: it is this user who may read it, not the one that the server runs as.
      const found = await asUsage(findFolders(source), source)
      const mailboxOf = asMapping(() =>
        mapping(
          found.folders.map(({ name }) => name),
          { into: options.into, map: (options.map ?? []).map(pair), skip: options.skip ?? [] },
          found.single,
        ),
      )
      const folders = found.folders.flatMap((folder) => {
        const mailbox = mailboxOf(folder.name)
        return mailbox === undefined ? [] : [{ ...folder, mailbox }]
      })
      if (options.dryRun === true) {
        const plan = folders.map(({ name, mailbox, kind, path }) => ({ folder: name, mailbox, kind, path }))
        return show(options.json === true, { plan, ignored: found.ignored }, () =>
          [
            table(
              ['folder', 'mailbox', 'kind', 'path'],
              plan.map(({ folder, mailbox, kind, path }) => [folder, mailbox, kind, path]),
            ),
            ...ignoredText(found),
          ].join('\n'),
        )
      }
      const line = new ProgressLine(options.json === true)
      const problems: { file: string; offset?: number; reason: string }[] = []
      let unlisted = 0
      const started = performance.now()
      const { report, stopped } = await withAdmin(programme, options, async (admin) => {
        if (options.again === true) await admin.ask('mail.forget-imports', { address })
        const { octets } = await admin.ask('mail.limit', undefined)
        let report: ImportReport | undefined
        try {
          report = await importMail({
            folders,
            limit: octets,
            quoting: options.quoting,
            sink: sinkOf(admin, address),
            progress: (step) => line.show(step),
            problem({ place, reason }) {
              if (problems.length < MOST_PROBLEMS) problems.push({ ...place, reason })
              else unlisted++
              if (options.json === true || problems.length > 100) return
              line.clear()
              process.stderr.write(
                `${place.file}${place.offset === undefined ? '' : ` at ${place.offset}`}: ${reason}\n`,
              )
            },
          })
          return { report, stopped: undefined }
        } catch (error) {
          if (!(error instanceof OperationError)) throw error
          return { report, stopped: error }
        } finally {
          line.clear()
        }
      })
      if (stopped !== undefined || report === undefined)
        throw new OperationError(
          stopped?.code ?? 'internal',
          `${stopped?.message ?? 'the import ended'}. What came in stays in: give the same command again to go on.`,
        )
      const seconds = Math.round((performance.now() - started) / 100) / 10
      show(options.json === true, { ...report, seconds, problems, unlisted, ignored: found.ignored }, () =>
        importText(report, seconds, found),
      )
      if (report.failed > 0) process.exitCode = 1
      return undefined
    })
}

/** Takes messages over the control socket. */
function sinkOf(admin: Admin, address: string): ImportSink {
  const run = randomBytes(6).readUIntBE(0, 6)
  return async (mailbox, parcels) => {
    const entries: ImportEntryOnWire[] = []
    for (const { key, nth, message } of parcels)
      entries.push({
        key: Buffer.from(key).toString('base64'),
        ...(nth === undefined ? {} : { nth }),
        ...(message === undefined ? {} : { mail: await onWire(admin, message) }),
      })
    return admin.ask('mail.import', { address, mailbox, run, entries })
  }
}

function pair(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  if (at <= 0 || at === text.length - 1) throw new UsageError(`--map wants FOLDER=MAILBOX; found ${text}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

async function asUsage<T>(work: Promise<T>, source: string): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw new OperationError('not-found', `there is no ${source}`, { cause: error })
    if (code !== undefined) throw error
    throw new OperationError('invalid', message, { cause: error })
  }
}

function asMapping<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new OperationError('not-found', (error as Error).message, { cause: error })
  }
}

const ignoredText = ({ ignored }: Found): string[] =>
  ignored.length === 0
    ? []
    : [
        '',
        'Left aside:',
        ...ignored.slice(0, 50).map(({ path, reason }) => `${path}: ${reason}`),
        ...(ignored.length > 50 ? [`and ${ignored.length - 50} more`] : []),
      ]

const importText = (report: ImportReport, seconds: number, found: Found): string =>
  [
    table(
      ['folder', 'mailbox', 'imported', 'known', 'failed'],
      report.folders.map(({ folder, mailbox, imported, known, failed }) => [
        folder,
        mailbox,
        String(imported),
        String(known),
        String(failed),
      ]),
    ),
    ...ignoredText(found),
    '',
    `${report.imported} messages (${sizeText(report.octets)}) came in, in ${seconds} s.${report.known > 0 ? ` ${report.known} had come in before.` : ''}${report.failed > 0 ? ` ${report.failed} could not be taken: see above.` : ''}`,
  ].join('\n')

interface ExportOptions extends CommonOptions {
  readonly format: 'mbox' | 'maildir'
  readonly mailbox?: readonly string[]
}

function exportCommand(programme: Programme): Command {
  return common(
    new Command('export').description(
      'write mailboxes to a folder, as mbox files or as a Maildir; run it again to go on after an interruption, or to add what is new',
    ),
  )
    .arguments('<address> <target>')
    .addOption(new Option('--format <form>', 'how').choices(['mbox', 'maildir']).default('maildir'))
    .option('--mailbox <name>', 'this mailbox only, with those below it; again for more', several)
    .action(async (address: string, target: string, options: ExportOptions) => {
      const [{ exportMbox }, { exportMaildir }] = await Promise.all([
        import('../../mail/transfer/export-mbox.ts'),
        import('../../mail/transfer/export-maildir.ts'),
      ])
      const line = new ProgressLine(options.json === true)
      const problems: { mailbox: string; reason: string }[] = []
      const report = await withAdmin(programme, options, async (admin) => {
        const all = await admin.ask('mailbox.list', { address })
        const wanted: string[] = []
        // Asked for by name, so that a wrong one is answered with the nearest right one.
        for (const name of options.mailbox ?? [])
          wanted.push((await admin.ask('mailbox.status', { address, mailbox: name })).name)
        const mailboxes = all.filter(
          ({ name }) =>
            options.mailbox === undefined || wanted.some((one) => name === one || name.startsWith(`${one}/`)),
        )
        try {
          return await (options.format === 'mbox' ? exportMbox : exportMaildir)({
            target: resolve(target),
            mailboxes,
            source: sourceOf(admin, address),
            progress: (step) => line.show(step),
            problem: (problem) => void problems.push(problem),
          })
        } finally {
          line.clear()
        }
      })
      show(options.json === true, { ...report, problems }, () => exportText(report, problems, target))
      if (report.failed > 0) process.exitCode = 1
    })
}

const sourceOf = (admin: Admin, address: string): ExportSource => ({
  lines: (mailbox, after) =>
    listMessages(admin, { address, mailbox }, after === 0 ? {} : { uids: `${after + 1}:4294967295` }, false),
  messages: (mailbox, lines) => fetchMessages(admin, { address, mailbox }, lines),
})

const exportText = (
  report: ExportReport,
  problems: readonly { readonly mailbox: string; readonly reason: string }[],
  target: string,
): string =>
  [
    table(
      ['mailbox', 'written', 'there before', 'path'],
      report.mailboxes.map(({ mailbox, written, skipped, path }) => [mailbox, String(written), String(skipped), path]),
    ),
    ...problems.map(({ mailbox, reason }) => `${mailbox}: ${reason}`),
    '',
    `${report.written} messages (${sizeText(report.octets)}) written to ${target}.`,
  ].join('\n')
