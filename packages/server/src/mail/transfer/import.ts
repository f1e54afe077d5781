// Bringing a mail archive into mailboxes: read, named, sent in batches. Whatever interrupts it, the next run completes it.

import { createHash } from 'node:crypto'
import type { ImportAnswer } from '../administration.ts'
import type { Moment, Place, SourceFolder, SourceItem } from './contracts.ts'
import { readFolder, type ReadOptions } from './read-folder.ts'

/** A message for the sink. */
export interface Parcel {
  /** What the message is and which folder it is from: SHA-256. */
  readonly key: Uint8Array
  readonly nth: number | undefined
  /** Undefined: only asked whether it is wanted. */
  readonly message:
    { readonly bytes: Uint8Array; readonly flags: readonly string[]; readonly date: Moment | undefined } | undefined
}

/** Where messages go. One batch is durable when the promise resolves; one after the other. Rejects with what ends the import. */
export type ImportSink = (mailbox: string, parcels: readonly Parcel[]) => Promise<readonly ImportAnswer[]>

export interface Problem {
  readonly place: Place
  readonly reason: string
}

export interface FolderReport {
  readonly folder: string
  readonly mailbox: string
  imported: number
  /** Were there from an earlier run. */
  known: number
  failed: number
}

export interface Progress {
  readonly messages: number
  readonly octets: number
  /** Of the whole, 0 to 1. */
  readonly done: number
}

export interface ImportOptions extends ReadOptions {
  readonly folders: readonly (SourceFolder & { readonly mailbox: string })[]
  readonly sink: ImportSink
  /** Told of each problem as it comes. */
  problem(problem: Problem): void
  progress(progress: Progress): void
}

export interface ImportReport {
  readonly folders: readonly FolderReport[]
  readonly imported: number
  readonly known: number
  readonly failed: number
  /** Of what was imported. */
  readonly octets: number
}

/** One batch is one commit. */
const BATCH_MESSAGES = 250
const BATCH_OCTETS = 1024 * 1024
/** Of so many octets it is always asked first whether they are wanted: to send them in vain costs more. */
const ASK_OCTETS = 8 * 1024 * 1024

type Message = Extract<SourceItem, { readonly kind: 'message' }>
interface Ready {
  readonly key: Uint8Array
  readonly message: Message
}

/** Imports all folders. Problems with single messages and folders are told and passed over. Rejects when the sink cannot take more: what is in stays in. */
export async function importMail(options: ImportOptions): Promise<ImportReport> {
  const run = new Run(options)
  for (const folder of options.folders) await run.folder(folder)
  return run.report()
}

class Run {
  readonly #options: ImportOptions
  readonly #reports: FolderReport[] = []
  readonly #total: number
  #octets = 0
  #messages = 0
  #units = 0
  /** Ask first, where most has come in before: then nothing is sent in vain. */
  #asking = false

  constructor(options: ImportOptions) {
    this.#options = options
    this.#total = options.folders.reduce((sum, { units }) => sum + units, 0)
  }

  report(): ImportReport {
    const sum = (of: 'imported' | 'known' | 'failed'): number => this.#reports.reduce((all, one) => all + one[of], 0)
    return {
      folders: this.#reports,
      imported: sum('imported'),
      known: sum('known'),
      failed: sum('failed'),
      octets: this.#octets,
    }
  }

  async folder(folder: ImportOptions['folders'][number]): Promise<void> {
    const report: FolderReport = { folder: folder.name, mailbox: folder.mailbox, imported: 0, known: 0, failed: 0 }
    this.#reports.push(report)
    const before = this.#units
    try {
      // Makes the mailbox, for a folder without messages too; and a name that cannot be is noticed before the mail is read.
      await this.#options.sink(folder.mailbox, [])
    } catch (error) {
      if (!isRefusal(error)) throw error
      this.#fail(report, { file: folder.path }, `the mailbox ${folder.mailbox} cannot be made: ${error.message}`)
      this.#units = before + folder.units
      return
    }
    let sending: Promise<void> = Promise.resolve()
    let batch: Ready[] = []
    let octets = 0
    const send = async (): Promise<void> => {
      // The batch before must be in: copies are counted in their order. Reading goes on meanwhile.
      await sending
      const full = batch
      batch = []
      octets = 0
      sending = this.#send(report, full)
      // Looked at with the next batch.
      sending.catch(() => undefined)
    }
    try {
      for await (const item of readFolder(folder, this.#options)) {
        this.#units += item.units
        if (item.kind === 'problem') this.#fail(report, item.place, item.reason)
        if (item.kind !== 'message') continue
        batch.push({ key: keyOf(folder, item.bytes), message: item })
        octets += item.bytes.byteLength
        if (batch.length >= BATCH_MESSAGES || octets >= BATCH_OCTETS) await send()
      }
    } catch (error) {
      await sending
      if (!isFileError(error)) throw error
      this.#fail(report, { file: folder.path }, error.message)
    }
    if (batch.length > 0) await send()
    await sending
    this.#units = before + folder.units
    this.#tell()
  }

  async #send(report: FolderReport, batch: readonly Ready[]): Promise<void> {
    const parcel = ({ key, message }: Ready, nth?: number): Parcel => ({ key, nth, message })
    const asked = this.#asking || batch.reduce((sum, { message }) => sum + message.bytes.byteLength, 0) >= ASK_OCTETS
    const first = await this.#options.sink(
      report.mailbox,
      batch.map((one) => (asked ? { key: one.key, nth: undefined, message: undefined } : parcel(one))),
    )
    const wanted: { readonly one: Ready; readonly nth: number }[] = []
    let known = 0
    for (const [i, answer] of first.entries()) {
      const one = batch[i]
      if (one === undefined) continue
      if (answer.kind === 'wanted') wanted.push({ one, nth: answer.nth })
      else this.#answered(report, one, answer)
      if (answer.kind === 'known') known++
    }
    this.#asking = known * 2 > batch.length
    for (let at = 0; at < wanted.length;) {
      // As many as make a batch again.
      const some = wanted.slice(at, at + BATCH_MESSAGES)
      at += some.length
      const answers = await this.#options.sink(
        report.mailbox,
        some.map(({ one, nth }) => parcel(one, nth)),
      )
      for (const [i, answer] of answers.entries()) {
        const one = some[i]?.one
        if (one !== undefined) this.#answered(report, one, answer)
      }
    }
    this.#tell()
  }

  #answered(report: FolderReport, { message }: Ready, answer: ImportAnswer): void {
    if (answer.kind === 'failed') return this.#fail(report, message.place, answer.reason)
    this.#messages++
    if (answer.kind === 'known') report.known++
    if (answer.kind !== 'imported') return
    report.imported++
    this.#octets += message.bytes.byteLength
    if (answer.note !== undefined) this.#options.problem({ place: message.place, reason: answer.note })
  }

  #fail(report: FolderReport, place: Place, reason: string): void {
    report.failed++
    this.#options.problem({ place, reason })
  }

  #tell(): void {
    this.#options.progress({
      messages: this.#messages,
      octets: this.#octets,
      done: this.#total === 0 ? 1 : Math.min(1, this.#units / this.#total),
    })
  }
}

/** The same message in the same folder has the same key, wherever in the folder it stands and whatever became of its flags. */
function keyOf({ name, mailbox }: { readonly name: string; readonly mailbox: string }, bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(`${mailbox}\0${name}\0`).update(bytes).digest()
}

/** The mailbox cannot be had; the disk and the server are well. */
const isRefusal = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && (error.code === 'invalid' || error.code === 'exists')

const isFileError = (error: unknown): error is Error =>
  error instanceof Error && 'syscall' in error && typeof error.syscall === 'string'
