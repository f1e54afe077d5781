// One folder: its state, kept equal to what is on the disk, by us and by others.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BackendError } from '../backend.ts'
import { Control, newGuid } from './control.ts'
import { type Files, ifThere } from './files.ts'
import { flagsOfLetters, newBase, parseFileName, sizeField } from './file-name.ts'
import { distinct, measured, rebase } from './intake.ts'
import { Journal, type Reading } from './journal.ts'
import { lockFolder } from './lock.ts'
import { type Found, scan } from './scan.ts'
import { type Change, FolderState, type Row } from './state.ts'
import type { UidListEntry } from './uidlist.ts'

/** What a folder needs of its tree. */
export interface Surroundings {
  readonly files: Files
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Milliseconds to wait for the lock of another program. */
  readonly patience: number
  /** A UIDVALIDITY above all given before in this tree. */
  readonly nextUidValidity: () => Promise<number>
  readonly tell: (id: string) => void
}

/** Directory times are no finer than a clock tick: a change within it after a scan cannot be told from one before. In milliseconds. */
const TICK = 25
/** Expunged messages that the index remembers. */
const MOST_GONE = 20_000

export class Folder {
  /** Where it is now: RENAME moves it. */
  path: string
  /** What it is called now. */
  name: string
  readonly #around: Surroundings
  #id = ''
  #state: FolderState | undefined
  #control: Control
  #journal: Journal
  #prints = ''
  #settled = false
  #dead = false
  #turn: Promise<unknown> = Promise.resolve()
  #bases = 0

  constructor(around: Surroundings, path: string, name: string) {
    this.#around = around
    this.path = path
    this.name = name
    this.#control = new Control(path, around.files)
    this.#journal = new Journal(path, around.files)
  }

  /** Identity; '' before the first sync. */
  get id(): string {
    return this.#id
  }

  get dead(): boolean {
    return this.#dead
  }

  /** What is known. Only inside `exclusive`, after `sync`. */
  get state(): FolderState {
    if (this.#state === undefined) throw new Error('the folder was not read')
    return this.#state
  }

  get files(): Files {
    return this.#around.files
  }

  get now(): () => number {
    return this.#around.now
  }

  /** The folder is gone, or another has taken its place: everything after this rejects. */
  destroy(): void {
    this.#dead = true
  }

  /** It lies elsewhere now. */
  moved(path: string, name: string): void {
    this.path = path
    this.name = name
    this.forget()
  }

  /** Drops what is known: after a failure only the disk is right. */
  forget(): void {
    this.#control = new Control(this.path, this.#around.files)
    this.#journal = new Journal(this.path, this.#around.files)
    this.#prints = ''
  }

  /** One at a time, in turn. */
  exclusive<Value>(work: () => Promise<Value>): Promise<Value> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** Sees what others did. NONEXISTENT when the folder is gone. Inside `exclusive`, without the lock. */
  async sync(): Promise<void> {
    this.#check()
    const prints = await this.#printsNow()
    if (prints === this.#prints && this.#settled) return
    const before = this.#state
    if (before !== undefined && controlOf(prints) === controlOf(this.#prints)) {
      const started = Date.now()
      const found = await scan(this.path)
      if (found !== undefined && agrees(before, found)) {
        this.#accept(prints, started)
        return
      }
    }
    const unlock = await this.lock()
    try {
      await this.refresh()
    } finally {
      await unlock()
    }
  }

  async lock(): Promise<() => Promise<void>> {
    this.#check()
    try {
      return await lockFolder(this.path, this.#around.patience)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw this.#gone()
    }
  }

  #check(): void {
    if (this.#dead) throw this.#gone()
  }

  #gone(): BackendError {
    this.#dead = true
    return new BackendError('NONEXISTENT', `There is no mailbox ${this.name} any more`)
  }

  /** Reads everything that changed, and takes it in. The lock is held. */
  async refresh(): Promise<void> {
    if (this.#settled && (await this.#printsNow()) === this.#prints) return
    const known = this.#state?.highestModseq
    await this.control()
    const started = Date.now()
    const found = await this.#scan()
    await this.#take(found)
    if (this.#journal.lines > 2 * (this.state.rows.length + this.state.gone.size) + 2000) await this.#compact()
    this.#accept(await this.#printsNow(), started)
    if (known !== undefined && this.state.highestModseq > known) this.#around.tell(this.#id)
  }

  async #scan(): Promise<readonly Found[]> {
    const found = await scan(this.path)
    if (found === undefined) throw this.#gone()
    return found
  }

  /** Reads the control files and the index where they changed: enough to add messages. The lock is held. */
  async control(): Promise<void> {
    const listChanged = await this.#control.read()
    let list = this.#control.list
    if (list === undefined && this.#state === undefined) await this.#restore()
    if (list === undefined || list.guid === undefined) {
      const entries = this.#state?.rows.map(entryOf) ?? list?.entries ?? []
      list = {
        uidValidity: this.#state?.uidValidity ?? list?.uidValidity ?? (await this.#around.nextUidValidity()),
        uidNext: Math.max(this.#state?.uidNext ?? 1, list?.uidNext ?? 1),
        guid: this.#id === '' ? newGuid() : this.#id,
        others: list?.others ?? [],
        entries,
      }
      await this.#control.write(list)
    }
    const { guid = '', uidValidity } = list
    // Another mailbox has taken this place, or everything got new UIDs: not what the sessions have open.
    if (this.#id !== '' && (guid !== this.#id || uidValidity !== this.#state?.uidValidity)) throw this.#gone()
    this.#id = guid
    await this.#readIndex(uidValidity)
    if (listChanged || this.state.uids.size === 0) {
      this.state.uids.clear()
      for (const { uid, base } of list.entries) this.state.uids.set(base, uid)
    }
    this.state.uidNext = Math.max(this.state.uidNext, list.uidNext)
    const keywords = await this.#control.readKeywords()
    if (keywords !== undefined) this.state.keywords = keywords
  }

  /** Without a list of UIDs, the index knows them. */
  async #restore(): Promise<void> {
    const origin = await this.#journal.origin()
    const reading = origin && (await this.#journal.read(origin))
    if (reading === undefined) return
    this.#id = origin?.guid ?? ''
    this.#replay(origin?.uidValidity ?? 0, reading)
  }

  async #readIndex(uidValidity: number): Promise<void> {
    const origin = { uidValidity, guid: this.#id }
    const reading = await this.#journal.read(origin)
    if (reading === undefined) {
      if (this.#state === undefined) await this.#newIndex(uidValidity)
      else await this.#journal.begin(origin, this.#state.changes())
      return
    }
    this.#replay(uidValidity, reading)
  }

  #replay(uidValidity: number, reading: Reading): void {
    if (reading.fresh) {
      const { keywords = [] } = this.#state ?? {}
      const state = new FolderState(uidValidity)
      state.keywords = keywords
      for (const change of reading.changes) state.apply(change)
      this.#state = state
    } else for (const change of reading.changes) this.state.apply(change)
  }

  /** Without an index the history begins here, above everything that anybody may have been told. */
  async #newIndex(uidValidity: number): Promise<void> {
    const state = new FolderState(uidValidity)
    const ceiling = await this.#journal.ceiling()
    // A UIDVALIDITY that is new has told nobody anything; an old one may have been served by another program, whose numbers are small.
    const untold = ceiling === undefined && this.#control.list?.uidNext === 1
    const start = untold ? 1 : Math.max((ceiling ?? 0) + 1, Date.now())
    await this.#journal.reserve(start)
    const [oldest] = ((await scan(this.path)) ?? [])
      .filter(({ file }) => file.startsWith('new/'))
      .map(({ base }) => this.#control.list?.entries.find((entry) => entry.base === base)?.uid)
      .filter((uid) => uid !== undefined)
      .sort((a, b) => a - b)
    state.apply({ kind: 'start', floor: start, modseq: start })
    state.apply({ kind: 'recent', uid: oldest ?? this.#control.list?.uidNext ?? 1 })
    await this.#journal.begin({ uidValidity, guid: this.#id }, state.changes())
    this.#state = state
  }

  /** Brings the state to what the directories hold. */
  async #take(first: readonly Found[]): Promise<void> {
    const { state } = this
    let found = await distinct(this, first)
    const missing = (): Row[] => {
      const there = new Set(found.map(({ base }) => state.uids.get(base)))
      return state.rows.filter((row) => !there.has(row.uid))
    }
    // Reading a directory while another program renames in it can miss a file: only what is missing twice is gone.
    if (missing().length > 0) found = await distinct(this, await this.#scan())
    const arrivals: { found: Found; uid: number | undefined }[] = []
    const flagged: { row: Row; letters: string }[] = []
    for (const one of found) {
      const uid = state.uids.get(one.base)
      const row = uid === undefined ? undefined : state.get(uid)
      if (row === undefined) {
        // A file of an expunged message that was put back is a new message, under a name of its own.
        if (uid !== undefined && state.gone.has(uid)) arrivals.push({ found: await rebase(this, one), uid: undefined })
        else arrivals.push({ found: one, uid })
        continue
      }
      row.file = one.file
      if (state.shared(flagsOfLetters(one.letters, state.keywords)) !== row.flags)
        flagged.push({ row, letters: one.letters })
    }
    const gone = missing()
    if (gone.length === 0 && flagged.length === 0 && arrivals.length === 0) return
    const modseq = await this.nextModseq()
    const changes: Change[] = gone.map(({ uid }) => ({ kind: 'gone', uid, modseq }))
    for (const { row, letters } of flagged)
      changes.push({ kind: 'flags', uid: row.uid, modseq, flags: flagsOfLetters(letters, state.keywords) })
    const fresh = await measured(this, arrivals, this.#control.list?.entries ?? [], modseq)
    await this.list(fresh.map(({ row }) => row))
    await this.commit([...changes, ...fresh.map(({ row }): Change => ({ kind: 'message', row }))])
    for (const { row, file } of fresh) Object.assign(state.get(row.uid) ?? {}, { file })
  }

  /** A base name that no other message has. */
  newBase(size: number, virtualSize: number): string {
    return newBase(Date.now(), ++this.#bases, size, virtualSize)
  }

  /** The next mod-sequence; a ceiling above it is on the disk. */
  async nextModseq(): Promise<number> {
    const modseq = this.state.highestModseq + 1
    await this.#journal.reserve(modseq)
    return modseq
  }

  /** Puts messages into the list of UIDs, where they are not there yet. The lock is held. */
  async list(rows: readonly Omit<Row, 'file'>[]): Promise<void> {
    const fresh = rows.filter(({ base, uid }) => this.state.uids.get(base) !== uid)
    if (fresh.length === 0) return
    await this.#control.append(fresh.map(entryOf))
    for (const { base, uid } of fresh) {
      this.state.uids.set(base, uid)
      this.state.uidNext = Math.max(this.state.uidNext, uid + 1)
    }
  }

  /** Keeps the keywords. The lock is held. */
  async keepKeywords(keywords: readonly (string | undefined)[]): Promise<void> {
    if (keywords.length === this.state.keywords.length && keywords.every((one, i) => one === this.state.keywords[i]))
      return
    await this.#control.writeKeywords(keywords)
    this.state.keywords = keywords
  }

  /** Makes changes durable, then known. The lock is held. */
  async commit(changes: readonly Change[]): Promise<void> {
    await this.#journal.append(changes)
    for (const change of changes) this.state.apply(change)
  }

  /** Ends a change of our own, with the lock still held: sessions hear of it. What others did to the directories meanwhile, the next sync looks for. */
  async committed(): Promise<void> {
    this.#prints = await this.#printsNow()
    this.#settled = false
    this.#around.tell(this.#id)
  }

  /** A new index, and a list without those that are gone. The lock is held. */
  async #compact(): Promise<void> {
    const { state } = this
    const list = this.#control.list
    if (list !== undefined) {
      await this.#control.write({
        ...list,
        uidNext: state.uidNext,
        entries: list.entries.filter(({ uid }) => state.get(uid) !== undefined),
      })
      for (const [base, uid] of state.uids) if (state.get(uid) === undefined) state.uids.delete(base)
    }
    state.trim(MOST_GONE)
    await this.#journal.begin({ uidValidity: state.uidValidity, guid: this.#id }, state.changes())
  }

  #accept(prints: string, started: number): void {
    this.#prints = prints
    const newest = Math.max(...(prints.split('|')[1] ?? '').split(' ').map(Number))
    this.#settled = started - newest > TICK
  }

  /** Control files, `|`, and the times of the directories in milliseconds. */
  async #printsNow(): Promise<string> {
    const files = ['dovecot-uidlist', 'dovecot-keywords', 'aviso-index'].map(async (name) => {
      const found = await ifThere(stat(join(this.path, name)))
      return found === undefined ? '-' : `${found.ino}.${found.size}.${found.mtimeMs}`
    })
    const folders = ['new', 'cur'].map(async (name) => (await ifThere(stat(join(this.path, name))))?.mtimeMs ?? 0)
    return `${(await Promise.all(files)).join(' ')}|${(await Promise.all(folders)).join(' ')}`
  }
}

const controlOf = (prints: string): string => prints.split('|', 1)[0] ?? ''

/** The scan shows what is known and nothing else. */
function agrees(state: FolderState, found: readonly Found[]): boolean {
  if (found.length !== state.rows.length) return false
  return found.every(({ base, file }) => {
    const uid = state.uids.get(base)
    return uid !== undefined && state.get(uid)?.file === file
  })
}

/** An entry of the list; the size stands in it where the name does not tell it. */
const entryOf = ({ uid, base, size }: Omit<Row, 'file'>): UidListEntry => ({
  uid,
  base: parseFileName(base).base,
  fields: sizeField(base, 'W') === undefined ? `W${size}` : '',
})
