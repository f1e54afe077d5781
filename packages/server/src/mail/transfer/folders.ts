// Which folders a mail archive has: an mbox, a message, a Maildir with its subfolders, Thunderbird's `X` and `X.sbd/`, folders of .eml files, and mixtures of these.

import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { SourceFolder } from './contracts.ts'
import { levelOfFile, maildirLevels } from './names.ts'
import { openRegular, reasonOf } from './safe-files.ts'
import { parseFromLine } from './from-line.ts'

export interface Found {
  readonly folders: readonly SourceFolder[]
  /** What was left aside although it might have been mail, and why. */
  readonly ignored: readonly { readonly path: string; readonly reason: string }[]
  /** The source is one folder by itself, whose name says little: its mail is for INBOX when nobody says otherwise. */
  readonly single: boolean
}

/** How deep folders may lie. */
const MAX_DEPTH = 20
const MAX_FOLDERS = 20_000
/** What a message of unknown size stands for in `units`. */
export const FILE_UNITS = 16 * 1024

/** Looks at names only, apart from the first octets of files that might be mboxes. Rejects when `source` cannot be read or is no mail. */
export async function findFolders(named: string): Promise<Found> {
  // The source itself may be a symbolic link: whoever named it means what it leads to.
  const source = await realpath(named)
  const there = await stat(source)
  if (there.isDirectory()) {
    const walk = new Walk()
    await walk.folder(source, [], 0)
    if (walk.folders.length === 0) throw new Error(`${named} holds no mbox, no Maildir and no .eml files`)
    walk.folders.sort((a, b) =>
      a.name === b.name ? 0 : a.name === 'INBOX' || (b.name !== 'INBOX' && a.name < b.name) ? -1 : 1,
    )
    return {
      folders: walk.folders,
      ignored: walk.ignored,
      single: walk.folders.length === 1 && walk.folders[0]?.path === source,
    }
  }
  if (!there.isFile()) throw new Error(`${named} is neither a file nor a folder`)
  const kind = await kindOfFile(source)
  if (kind === undefined)
    throw new Error(
      `${named} is neither an mbox nor a message: it begins with no From_ line and no header of a message`,
    )
  return {
    folders: [
      {
        name: levelOfFile(withoutSuffix(basename(source))),
        kind,
        path: source,
        units: kind === 'eml' ? FILE_UNITS : there.size,
      },
    ],
    ignored: [],
    single: true,
  }
}

const withoutSuffix = (name: string): string => name.replace(/\.(?:mbox|mbx|eml)$/i, '') || name

/** Files that mail programs keep beside mail. */
const NOT_MAIL =
  /^(?:dovecot[.-].*|dovecot|maildirfolder|maildirsize|subscriptions|courierimap.*|\.?uidvalidity|\.mbsyncstate.*|\.isyncuidmap.*|new|cur|tmp)$|\.(?:msf|dat|html|json|log|lock|sqlite|mab|ini|aviso)$/i

class Walk {
  readonly folders: SourceFolder[] = []
  readonly ignored: { path: string; reason: string }[] = []

  /** Looks into a folder whose own name, with those above it, is `levels`. */
  async folder(path: string, levels: readonly string[], depth: number): Promise<void> {
    if (depth > MAX_DEPTH) return this.#ignore(path, `it lies more than ${MAX_DEPTH} folders deep`)
    let entries: Dirent[]
    try {
      entries = await readdir(path, { withFileTypes: true })
    } catch (error) {
      if (depth === 0) throw error
      return this.#ignore(path, reasonOf(error))
    }
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    const isMaildir = entries.some((entry) => entry.name === 'cur' && entry.isDirectory())
    if (isMaildir) await this.#add('maildir', path, levels, await countFiles(path))
    let letters = 0
    for (const entry of entries) {
      const { name } = entry
      const inner = join(path, name)
      if (entry.isDirectory()) {
        if (isMaildir && (name === 'cur' || name === 'new' || name === 'tmp')) continue
        await this.#inner(inner, name, levels, depth, isMaildir)
      } else if (!entry.isFile()) {
        if (!NOT_MAIL.test(name)) this.#ignore(inner, 'it is no regular file')
      } else if (/\.eml$/i.test(name)) letters++
      else if (!isMaildir && !NOT_MAIL.test(name) && !name.startsWith('.')) await this.#file(inner, name, levels)
    }
    if (letters > 0) await this.#add('eml', path, levels, letters * FILE_UNITS)
  }

  async #inner(
    path: string,
    name: string,
    levels: readonly string[],
    depth: number,
    inMaildir: boolean,
  ): Promise<void> {
    if (inMaildir && name.startsWith('.')) {
      const own = maildirLevels(name)
      if (own === undefined) return this.#ignore(path, 'its name is no name of a Maildir++ folder')
      return this.folder(path, [...levels, ...own], depth + 1)
    }
    // Dovecot's indexes, the Trash of a desktop.
    if (name.startsWith('.')) return
    // Apple Mail exports `X.mbox/mbox`.
    const bare = /^(.+)\.(?:sbd|mbox)$/i.exec(name)?.[1] ?? name
    return this.folder(path, [...levels, levelOfFile(bare)], depth + 1)
  }

  async #file(path: string, name: string, levels: readonly string[]): Promise<void> {
    let kind: 'mbox' | 'eml' | undefined
    let size = 0
    try {
      kind = await kindOfFile(path)
      ;({ size } = await stat(path))
    } catch (error) {
      return this.#ignore(path, reasonOf(error))
    }
    if (size === 0) return this.#add('mbox', path, [...levels, levelOfFile(withoutSuffix(name))], 0)
    if (kind !== 'mbox') return this.#ignore(path, 'it begins with no From_ line: it is no mbox')
    const own = name === 'mbox' && levels.length > 0 ? [] : [levelOfFile(withoutSuffix(name))]
    await this.#add('mbox', path, [...levels, ...own], size)
  }

  async #add(kind: SourceFolder['kind'], path: string, levels: readonly string[], units: number): Promise<void> {
    if (this.folders.length >= MAX_FOLDERS) throw new Error(`more than ${MAX_FOLDERS} folders`)
    const name = levels.join('/')
    this.folders.push({ kind, path, units, name: name === '' || /^inbox$/i.test(name) ? 'INBOX' : name })
  }

  #ignore(path: string, reason: string): void {
    if (this.ignored.length < MAX_FOLDERS) this.ignored.push({ path, reason })
  }
}

/** Names are counted, not kept. */
async function countFiles(path: string): Promise<number> {
  let units = 0
  for (const folder of ['new', 'cur'])
    try {
      units += (await readdir(join(path, folder))).length * FILE_UNITS
    } catch {
      // A Maildir without `new` still has its `cur`.
    }
  return units
}

/** A header with a field that every message has: other text has lines with colons too. */
const LETTER =
  /^(?:[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:from|date|subject|received|return-path|message-id|mime-version|to|delivered-to)[ \t]*:/i

/** By its first octets: an mbox, a message, or neither. An empty file is an empty mbox. */
async function kindOfFile(path: string): Promise<'mbox' | 'eml' | undefined> {
  const file = await openRegular(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    const text = buffer
      .toString('latin1', 0, bytesRead)
      .replace(/^\u00ef\u00bb\u00bf/, '')
      .replace(/^[\r\n]+/, '')
    const [line = ''] = text.split(/\r?\n/, 1)
    if (text === '' || parseFromLine(line) !== undefined) return 'mbox'
    return LETTER.test(text) ? 'eml' : undefined
  } finally {
    await file.close()
  }
}
