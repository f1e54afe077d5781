// The control files of a folder that Dovecot shares with us: `dovecot-uidlist` and `dovecot-keywords`. All writing is done with the lock held.

import { randomBytes } from 'node:crypto'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Files, ifThere } from './files.ts'
import { formatKeywords, parseKeywords } from './keywords.ts'
import {
  formatEntry,
  formatUidList,
  parseUidList,
  parseUidListHeader,
  type UidList,
  type UidListEntry,
} from './uidlist.ts'

export const UIDLIST_FILE = 'dovecot-uidlist'
export const KEYWORDS_FILE = 'dovecot-keywords'
/** Octets within which a header line ends. */
const HEADER = 4096

export class Control {
  readonly #folder: string
  readonly #files: Files
  #list: UidList | undefined
  #print = ''
  #keywordsPrint = ''

  constructor(folder: string, files: Files) {
    this.#folder = folder
    this.#files = files
  }

  get #path(): string {
    return join(this.#folder, UIDLIST_FILE)
  }

  /** The list as last read or written. */
  get list(): UidList | undefined {
    return this.#list
  }

  /** Reads the list where it changed. Answers whether it did; then `list` is undefined when there is none, or none to trust. */
  async read(): Promise<boolean> {
    const print = await printOf(this.#path)
    if (print === this.#print && this.#list !== undefined) return false
    const text = await ifThere(readFile(this.#path, 'utf8'))
    this.#list = text === undefined ? undefined : parseUidList(text)
    // Written by a program that stopped in the middle of a line: the line is no entry, and the next one must not grow on it.
    if (this.#list !== undefined && text?.endsWith('\n') !== true) await this.write(this.#list)
    else this.#print = print
    return true
  }

  async write(list: UidList): Promise<void> {
    await this.#files.replace(this.#path, Buffer.from(formatUidList(list)))
    this.#list = list
    this.#print = await printOf(this.#path)
  }

  /** Adds entries, whose UIDs are above all there. */
  async append(entries: readonly UidListEntry[]): Promise<void> {
    const list = this.#list
    const last = entries.at(-1)
    if (list === undefined || last === undefined) return
    await this.#files.append(this.#path, Buffer.from(entries.map(formatEntry).join('')))
    this.#list = { ...list, uidNext: Math.max(list.uidNext, last.uid + 1), entries: list.entries.concat(entries) }
    this.#print = await printOf(this.#path)
  }

  /** Keywords by letter, where the file changed since the last reading. */
  async readKeywords(): Promise<(string | undefined)[] | undefined> {
    const path = join(this.#folder, KEYWORDS_FILE)
    const print = await printOf(path)
    if (print === this.#keywordsPrint) return undefined
    const text = (await ifThere(readFile(path, 'utf8'))) ?? ''
    this.#keywordsPrint = print
    return parseKeywords(text)
  }

  async writeKeywords(keywords: readonly (string | undefined)[]): Promise<void> {
    const path = join(this.#folder, KEYWORDS_FILE)
    await this.#files.replace(path, Buffer.from(formatKeywords(keywords)))
    this.#keywordsPrint = await printOf(path)
  }
}

/** Identity and UIDVALIDITY of a folder without reading more than its header; undefined where it has none yet. */
export async function readIdentity(
  folder: string,
): Promise<{ readonly id: string; readonly uidValidity: number } | undefined> {
  const handle = await ifThere(open(join(folder, UIDLIST_FILE), 'r'))
  if (handle === undefined) return undefined
  try {
    const octets = Buffer.alloc(HEADER)
    const { bytesRead } = await handle.read(octets, 0, HEADER, 0)
    const line = octets.toString('utf8', 0, bytesRead).split('\n', 1)[0] ?? ''
    const header = parseUidListHeader(line)
    return header?.guid === undefined ? undefined : { id: header.guid, uidValidity: header.uidValidity }
  } finally {
    await handle.close()
  }
}

/** A new identity, as Dovecot writes it. */
export const newGuid = (): string => randomBytes(16).toString('hex')

/** Changes when the file is replaced or grows. */
async function printOf(path: string): Promise<string> {
  const found = await ifThere(stat(path, { bigint: true }))
  return found === undefined ? 'none' : `${found.ino} ${found.size} ${found.mtimeNs}`
}
