// The messages of one folder of a source, one after the other: of an mbox, a Maildir, a folder of .eml files.

import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'
import { Headers, parseDate } from '@aviso/mime'
import type { Moment, SourceFolder, SourceItem } from './contracts.ts'
import { FILE_UNITS } from './folders.ts'
import { byArrival, flagsOfLetters, parseKeywordsFile, parseMaildirName } from './maildir-names.ts'
import { type MboxItem, MboxReader, NoMbox, type Quoting } from './mbox-reader.ts'
import { openRegular, pieces, readWhole, reasonOf } from './safe-files.ts'

export interface ReadOptions {
  /** Octets of the largest message that can be taken. */
  readonly limit: number
  readonly quoting: Quoting
}

/** Reads a folder. Problems with single messages are items; rejects only when the folder as a whole cannot be read. */
export function readFolder(folder: SourceFolder, options: ReadOptions): AsyncGenerator<SourceItem> {
  switch (folder.kind) {
    case 'mbox':
      return readMbox(folder.path, options)
    case 'maildir':
      return readMaildir(folder.path, options)
    case 'eml':
      return readLetters(folder.path, options)
  }
}

const tooLarge = (octets: number, limit: number): string =>
  `it has ${octets} octets, and messages may have ${limit} here (mail.max-message-size)`

async function* readMbox(path: string, options: ReadOptions): AsyncGenerator<SourceItem> {
  const file = await openRegular(path)
  try {
    const reader = new MboxReader(options)
    const { mtimeMs } = await file.stat()
    const item = (found: MboxItem): SourceItem => {
      const units = found.end - found.offset
      const place = { file: path, offset: found.offset }
      if (found.kind === 'void') return { kind: 'void', units }
      if (found.kind === 'too-large')
        return { kind: 'problem', place, units, reason: tooLarge(found.octets, options.limit) }
      return {
        kind: 'message',
        place,
        units,
        bytes: found.bytes,
        flags: found.flags,
        date: found.from.date ?? dateOf(found.bytes) ?? { time: Math.floor(mtimeMs / 1000) * 1000, zone: 0 },
      }
    }
    for await (const piece of pieces(file)) for (const found of reader.push(piece)) yield item(found)
    for (const found of reader.end()) yield item(found)
  } catch (error) {
    if (!(error instanceof NoMbox)) throw error
    yield { kind: 'problem', place: { file: path, offset: 0 }, units: 0, reason: error.message }
  } finally {
    await file.close()
  }
}

async function* readMaildir(path: string, options: ReadOptions): AsyncGenerator<SourceItem> {
  const keywords = await readKeywords(path)
  const files: { readonly name: string; readonly folder: string }[] = []
  for (const folder of ['cur', 'new'])
    for (const entry of await entriesOf(join(path, folder))) {
      if (entry.name.startsWith('.')) continue
      if (entry.isFile()) files.push({ name: entry.name, folder })
      else
        yield {
          kind: 'problem',
          place: { file: join(path, folder, entry.name) },
          units: 0,
          reason: 'it is no regular file',
        }
    }
  files.sort((a, b) => byArrival(a.name, b.name))
  for (const { name, folder } of files) {
    const file = join(path, folder, name)
    const read = await readFile(file, options.limit, () => renamed(path, name))
    if ('reason' in read) {
      yield { kind: 'problem', place: { file }, units: FILE_UNITS, reason: read.reason }
      continue
    }
    yield {
      kind: 'message',
      place: { file: read.path },
      units: FILE_UNITS,
      bytes: read.bytes,
      flags: flagsOfLetters(parseMaildirName(basename(read.path)).letters, keywords),
      date: { time: read.modified, zone: 0 },
    }
  }
}

async function* readLetters(path: string, options: ReadOptions): AsyncGenerator<SourceItem> {
  const single = !(await stat(path)).isDirectory()
  const names = single
    ? [basename(path)]
    : (await entriesOf(path)).filter((one) => one.isFile() && /\.eml$/i.test(one.name)).map((one) => one.name)
  for (const name of names.sort()) {
    const file = single ? path : join(path, name)
    const read = await readFile(file, options.limit)
    if ('reason' in read) yield { kind: 'problem', place: { file }, units: FILE_UNITS, reason: read.reason }
    else
      yield {
        kind: 'message',
        place: { file },
        units: FILE_UNITS,
        bytes: read.bytes,
        flags: [],
        date: dateOf(read.bytes) ?? { time: read.modified, zone: 0 },
      }
  }
}

async function entriesOf(path: string) {
  try {
    return await readdir(path, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function readKeywords(path: string): Promise<(string | undefined)[]> {
  try {
    const file = await openRegular(join(path, 'dovecot-keywords'))
    try {
      return parseKeywordsFile((await readWhole(file, 64 * 1024))?.toString('utf8') ?? '')
    } finally {
      await file.close()
    }
  } catch {
    return []
  }
}

/** A server that still runs gives a file new flags, or moves it from `new` to `cur`: where it is now. */
async function renamed(path: string, name: string): Promise<string | undefined> {
  const { base } = parseMaildirName(name)
  for (const folder of ['cur', 'new'])
    for (const entry of await entriesOf(join(path, folder)))
      if (entry.isFile() && parseMaildirName(entry.name).base === base) return join(path, folder, entry.name)
  return undefined
}

type Read =
  { readonly path: string; readonly bytes: Uint8Array; readonly modified: number } | { readonly reason: string }

async function readFile(path: string, limit: number, elsewhere?: () => Promise<string | undefined>): Promise<Read> {
  try {
    const file = await openRegular(path)
    try {
      const { mtimeMs, size } = await file.stat()
      const octets = await readWhole(file, limit)
      if (octets === undefined) return { reason: tooLarge(size, limit) }
      const bytes = await plain(octets, limit)
      if (bytes === undefined) return { reason: 'it is compressed and cannot be opened, or is too large when it is' }
      if (bytes.length === 0) return { reason: 'it is empty' }
      return { path, bytes, modified: Math.floor(mtimeMs / 1000) * 1000 }
    } finally {
      await file.close()
    }
  } catch (error) {
    const now = (error as NodeJS.ErrnoException).code === 'ENOENT' ? await elsewhere?.() : undefined
    return now === undefined ? { reason: reasonOf(error) } : readFile(now, limit)
  }
}

/** Dovecot may compress what it keeps (zlib plugin). No message begins with these octets. */
async function plain(octets: Buffer, limit: number): Promise<Uint8Array | undefined> {
  const magic = octets.subarray(0, 4).toString('hex')
  const open = magic.startsWith('1f8b')
    ? promisify(gunzip)
    : magic === '28b52ffd'
      ? promisify(zstdDecompress)
      : undefined
  if (open === undefined) return octets
  try {
    return await open(octets, { maxOutputLength: limit })
  } catch {
    return undefined
  }
}

/** When a message came, by its newest Received field, else by its Date. */
function dateOf(bytes: Uint8Array): Moment | undefined {
  const headers = Headers.parse(bytes)
  const received = headers.get('Received')
  for (const text of [received?.slice(received.lastIndexOf(';') + 1), headers.get('Date')]) {
    const date = text === undefined ? undefined : parseDate(text)
    if (date !== undefined && date.time >= 0) return { time: date.time, zone: date.zoneMinutes }
  }
  return undefined
}
