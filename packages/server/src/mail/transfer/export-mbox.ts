// Mailboxes as mbox files in Thunderbird's layout: `A` and `A.sbd/B`. What an interrupted export wrote is kept, half a message at the end is not.

import { constants } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { MailboxLine } from '../administration.ts'
import { makeFolder, syncFolder } from '../../kernel/folders.ts'
import { writeWhole } from './durable.ts'
import { type ExportedMailbox, ExportError, type ExportOptions, type ExportReport, Tally } from './export.ts'
import { mboxEntry } from './mbox-writer.ts'
import { mboxPath } from './names.ts'

/** The file that says how far each mbox is. */
export const STATE_FILE = '.aviso-export.json'
/** Octets that are made safe together. */
const FLUSH = 4 * 1024 * 1024

/** How far one mbox is: it has `length` octets that count, the messages up to the UID `last`. */
interface Written {
  readonly uidValidity: number
  readonly last: number
  readonly length: number
  readonly messages: number
  /** Of the messages in the mailbox. */
  readonly octets: number
}

/** Rejects with `ExportError` where a file in the target is not ours. */
export async function exportMbox(options: ExportOptions): Promise<ExportReport> {
  const tally = new Tally(options)
  await makeFolder(options.target)
  const state = await State.open(options.target)
  for (const mailbox of options.mailboxes) {
    const path = mboxPath(mailbox.name)
    const entry = tally.begin(mailbox.name, join(options.target, path))
    try {
      await makeFolder(dirname(entry.path))
      await one(options, state, tally, mailbox, path, entry)
    } catch (error) {
      if (!isNameError(error)) throw error
      tally.failed(mailbox.name, `its name is too long for this file system: ${entry.path}`)
    }
  }
  return tally.report()
}

export const isNameError = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENAMETOOLONG'

async function one(
  { source, target }: ExportOptions,
  state: State,
  tally: Tally,
  mailbox: MailboxLine,
  path: string,
  entry: ExportedMailbox,
): Promise<void> {
  let done = state.of(path)
  if (done !== undefined && mailbox.selectable && done.uidValidity !== mailbox.uidValidity)
    throw new ExportError(
      `${entry.path} was exported from another mailbox of that name (one that was deleted since): choose another folder`,
    )
  const file = await openMbox(entry.path, done !== undefined, async () => {
    // Said before the file is there: a file that nobody spoke of is somebody else's.
    done = { uidValidity: mailbox.uidValidity, last: 0, length: 0, messages: 0, octets: 0 }
    await state.set(path, done)
  })
  try {
    let { last, length, messages, octets } = done ?? { last: 0, length: 0, messages: 0, octets: 0 }
    const { size } = await file.stat()
    if (size < length)
      throw new ExportError(
        `${entry.path} has lost octets since the export before: move it away, and ${STATE_FILE} too`,
      )
    // What the last run wrote and did not come to count.
    await file.truncate(length)
    await syncFolder(dirname(join(target, path)))
    if (messages > 0) tally.skipped(entry, octets, messages)
    if (!mailbox.selectable) return
    let waiting: Buffer[] = []
    let held = 0
    const flush = async (): Promise<void> => {
      if (held === 0) return
      const all = Buffer.concat(waiting)
      waiting = []
      held = 0
      await writeAt(file, all, length)
      await file.sync()
      length += all.length
      await state.set(path, { uidValidity: mailbox.uidValidity, last, length, messages, octets })
    }
    for await (const lines of source.lines(mailbox.name, last))
      for await (const { line, bytes } of source.messages(mailbox.name, lines)) {
        const octetsOfOne = mboxEntry({ bytes, flags: line.flags, internalDate: line.date.time })
        waiting.push(octetsOfOne)
        held += octetsOfOne.length
        last = line.uid
        messages++
        octets += line.size
        tally.written(entry, line)
        if (held >= FLUSH) await flush()
      }
    await flush()
  } finally {
    await file.close()
  }
}

async function openMbox(path: string, known: boolean, begin: () => Promise<void>): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW
  if (!known) {
    try {
      await (await open(path, flags)).close()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      await begin()
      return open(path, flags | constants.O_CREAT, 0o600)
    }
    throw new ExportError(`${path} is there already and not from an earlier export: choose another folder`)
  }
  return open(path, flags | constants.O_CREAT, 0o600)
}

async function writeAt(file: FileHandle, octets: Buffer, position: number): Promise<void> {
  let written = 0
  while (written < octets.length)
    written += (await file.write(octets, written, octets.length - written, position + written)).bytesWritten
}

/** The state file, in memory and on disk. */
class State {
  readonly #folder: string
  readonly #files: Map<string, Written>

  private constructor(folder: string, files: Map<string, Written>) {
    this.#folder = folder
    this.#files = files
  }

  static async open(folder: string): Promise<State> {
    const path = join(folder, STATE_FILE)
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return new State(folder, new Map())
    }
    const files = parseState(text)
    if (files === undefined) throw new ExportError(`${path} cannot be read: choose another folder`)
    return new State(folder, files)
  }

  of(path: string): Written | undefined {
    return this.#files.get(path)
  }

  async set(path: string, written: Written): Promise<void> {
    this.#files.set(path, written)
    await writeWhole(join(this.#folder, STATE_FILE), JSON.stringify(Object.fromEntries(this.#files)))
    await syncFolder(this.#folder)
  }
}

function parseState(text: string): Map<string, Written> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const files = new Map<string, Written>()
  for (const [path, entry] of Object.entries(value as Record<string, unknown>)) {
    if (typeof entry !== 'object' || entry === null) return undefined
    const { uidValidity, last, length, messages, octets } = entry as Record<string, unknown>
    for (const number of [uidValidity, last, length, messages, octets])
      if (!Number.isSafeInteger(number) || Number(number) < 0) return undefined
    files.set(path, entry as Written)
  }
  return files
}
