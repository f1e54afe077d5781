// Mailboxes as a Maildir++ that Dovecot, Courier and mail programs read: INBOX in the folder itself, the others in `.A.B`.

import { opendir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { MailboxLine, MessageLine } from '../administration.ts'
import { makeFolder, syncFolder } from '../../kernel/folders.ts'
import { writeWhole } from './durable.ts'
import { isNameError } from './export-mbox.ts'
import { type ExportedMailbox, ExportError, type ExportOptions, type ExportReport, Tally } from './export.ts'
import { lettersOfFlags, MAX_LETTERS, parseKeywordsFile } from './maildir-names.ts'
import { withLf } from './mbox-writer.ts'
import { maildirFolder } from './names.ts'

/** Files that are written side by side: the disk syncs them together. */
const SIDE_BY_SIDE = 32

/** Rejects with `ExportError` where the target holds an export of something else. Files that are not ours are left alone. */
export async function exportMaildir(options: ExportOptions): Promise<ExportReport> {
  const tally = new Tally(options)
  await makeFolder(options.target)
  for (const mailbox of options.mailboxes) {
    if (!mailbox.selectable) continue
    const path = join(options.target, maildirFolder(mailbox.name))
    const entry = tally.begin(mailbox.name, path)
    try {
      await new Folder(options, tally, mailbox, entry).write()
    } catch (error) {
      if (!isNameError(error)) throw error
      tally.failed(mailbox.name, `its name is too long for this file system: ${path}`)
    }
  }
  await keepSubscriptions(options)
  await syncFolder(options.target)
  return tally.report()
}

/** Dovecot's file of subscriptions; one that Dovecot has made its own (`V 2`) is left alone. */
async function keepSubscriptions({ target, mailboxes }: ExportOptions): Promise<void> {
  const path = join(target, 'subscriptions')
  let before = ''
  try {
    before = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (before.startsWith('V\t')) return
  const names = new Set(before.split('\n').filter((name) => name !== ''))
  for (const { name, subscribed } of mailboxes) if (subscribed) names.add(maildirFolder(name).slice(1) || 'INBOX')
  await writeWhole(path, [...names].map((name) => `${name}\n`).join(''))
}

/** The name of a message without its flags. All of it is known before the message is read. */
const baseOf = ({ uid, date, size }: MessageLine, uidValidity: number): string =>
  `${Math.max(0, Math.floor(date.time / 1000))}.M${uid}P0V${uidValidity}.aviso,W=${size}`
const OWN = /^\d+\.M(\d+)P0V(\d+)\.aviso,W=\d+:2,([A-Za-z]*)$/

class Folder {
  readonly #options: ExportOptions
  readonly #tally: Tally
  readonly #mailbox: MailboxLine
  readonly #entry: ExportedMailbox
  readonly #keywords: (string | undefined)[] = []
  /** Letters of the messages that are there, by their UIDs. */
  readonly #there = new Map<number, string>()
  /** Keywords that have no letter left. */
  readonly #homeless = new Set<string>()

  constructor(options: ExportOptions, tally: Tally, mailbox: MailboxLine, entry: ExportedMailbox) {
    this.#options = options
    this.#tally = tally
    this.#mailbox = mailbox
    this.#entry = entry
  }

  async write(): Promise<void> {
    const { path } = this.#entry
    for (const folder of ['cur', 'new', 'tmp']) await makeFolder(join(path, folder))
    if (this.#mailbox.name !== 'INBOX') await (await open(join(path, 'maildirfolder'), 'a', 0o600)).close()
    await this.#look()
    const { source } = this.#options
    for await (const lines of source.lines(this.#mailbox.name, 0)) {
      await this.#keepKeywords(lines)
      const missing: MessageLine[] = []
      for (const line of lines) {
        const letters = this.#there.get(line.uid)
        if (letters === undefined) missing.push(line)
        else await this.#refresh(line, letters)
      }
      let writing: Promise<void>[] = []
      for await (const { line, bytes } of source.messages(this.#mailbox.name, missing)) {
        writing.push(this.#message(line, bytes))
        if (writing.length < SIDE_BY_SIDE) continue
        await Promise.all(writing)
        writing = []
      }
      await Promise.all(writing)
      // One sync for all the names.
      await syncFolder(join(path, 'cur'))
    }
    await syncFolder(path)
    if (this.#homeless.size > 0)
      this.#options.problem({
        mailbox: this.#mailbox.name,
        reason: `a Maildir can have ${MAX_LETTERS} keywords: left out were ${[...this.#homeless].slice(0, 10).join(', ')}`,
      })
  }

  /** What an earlier export left here. */
  async #look(): Promise<void> {
    const { path } = this.#entry
    for await (const { name } of await opendir(join(path, 'cur'), { bufferSize: 256 })) {
      const [, uid, uidValidity, letters = ''] = OWN.exec(name) ?? []
      if (uid === undefined) continue
      if (Number(uidValidity) !== this.#mailbox.uidValidity)
        throw new ExportError(
          `${path} was exported from another mailbox of that name (one that was deleted since): choose another folder`,
        )
      this.#there.set(Number(uid), letters)
    }
    for await (const { name } of await opendir(join(path, 'tmp')))
      if (OWN.test(`${name}:2,`)) await rm(join(path, 'tmp', name), { force: true })
    try {
      this.#keywords.push(...parseKeywordsFile(await readFile(join(path, 'dovecot-keywords'), 'utf8')))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  /** Gives each new keyword a letter, on disk before any message has it. */
  async #keepKeywords(lines: readonly MessageLine[]): Promise<void> {
    const before = this.#keywords.length
    for (const { flags } of lines)
      for (const flag of flags)
        if (!flag.startsWith('\\') && this.#place(flag) === undefined) {
          if (this.#keywords.length < MAX_LETTERS) this.#keywords.push(flag)
          else this.#homeless.add(flag)
        }
    if (this.#keywords.length === before) return
    const text = this.#keywords.map((keyword, i) => (keyword === undefined ? '' : `${i} ${keyword}\n`)).join('')
    await writeWhole(join(this.#entry.path, 'dovecot-keywords'), text)
    await syncFolder(this.#entry.path)
  }

  #place(keyword: string): number | undefined {
    const place = this.#keywords.findIndex((one) => one?.toLowerCase() === keyword.toLowerCase())
    return place < 0 ? undefined : place
  }

  #name(line: MessageLine, letters: string): string {
    return `${baseOf(line, this.#mailbox.uidValidity)}:2,${letters}`
  }

  async #refresh(line: MessageLine, letters: string): Promise<void> {
    this.#tally.skipped(this.#entry, line.size)
    const now = lettersOfFlags(line.flags, (keyword) => this.#place(keyword))
    if (now === letters) return
    const folder = join(this.#entry.path, 'cur')
    await rename(join(folder, this.#name(line, letters)), join(folder, this.#name(line, now)))
  }

  async #message(line: MessageLine, bytes: Uint8Array): Promise<void> {
    const { path } = this.#entry
    const letters = lettersOfFlags(line.flags, (keyword) => this.#place(keyword))
    const came = new Date(line.date.time)
    await writeWhole(
      join(path, 'cur', this.#name(line, letters)),
      withLf(bytes),
      join(path, 'tmp', baseOf(line, this.#mailbox.uidValidity)),
      (file) => file.utimes(came, came),
    )
    this.#tally.written(this.#entry, line)
  }
}
