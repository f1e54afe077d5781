// The tree of one user's Maildir: names, folders, subscriptions, roles.

import { readdir, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BackendError, type MailboxEntry, type MailboxRole } from '../backend.ts'
import { canonicalName, nameFault } from '../wire/mailbox-name.ts'
import { readIdentity } from './control.ts'
import { type Files, ifThere } from './files.ts'
import { Folder, type Surroundings } from './folder.ts'
import { sweep } from './graveyard.ts'
import { type Layout, type LayoutName, layoutOf, type Located } from './layout.ts'
import { lockFile } from './lock.ts'
import { textOf } from './messages.ts'
import { defaultRoles, formatRole, parseRole, ROLE_FILE } from './roles.ts'
import { formatSubscriptions, parseSubscriptions } from './subscriptions.ts'
import { nextUidValidity } from './uid-validity.ts'

export interface TreeOptions {
  readonly path: string
  readonly layout: LayoutName
  readonly files: Files
  readonly now: () => number
  readonly patience: number
  readonly tell: (id: string | undefined) => void
}

/** Milliseconds between two looks at one folder's `tmp`. */
const SWEEP = 600_000

const SUBSCRIPTIONS = 'subscriptions'

export class Tree {
  readonly path: string
  readonly files: Files
  readonly #options: TreeOptions
  readonly #layout: Layout
  readonly #around: Surroundings
  #folders = new Map<string, Folder>()
  /** By path: when `tmp` was looked at. */
  #swept = new Map<string, number>()
  #turn: Promise<unknown> = Promise.resolve()
  #ready: Promise<void> | undefined

  constructor(options: TreeOptions) {
    this.path = options.path
    this.files = options.files
    this.#options = options
    this.#layout = layoutOf(options.layout, options.path)
    this.#around = {
      files: options.files,
      now: options.now,
      patience: options.patience,
      nextUidValidity: () => nextUidValidity(options.path, options.files, options.now()),
      tell: options.tell,
    }
  }

  /** Changes of the tree itself, one at a time. */
  exclusive<Value>(work: () => Promise<Value>): Promise<Value> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** Makes INBOX where it is missing. */
  ready(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error: unknown) => {
      this.#ready = undefined
      throw error
    })
    return this.#ready
  }

  async #prepare(): Promise<void> {
    if ((await ifThere(stat(join(this.path, 'cur')))) === undefined) await this.files.maildir(this.path)
    for (const name of (await ifThere(readdir(join(this.path, 'tmp')))) ?? [])
      if (name.startsWith('aviso-deleted.'))
        await this.files.remove(join(this.path, 'tmp', name)).catch(() => undefined)
  }

  /** All mailboxes, INBOX first. */
  async all(): Promise<readonly Located[]> {
    await this.ready()
    const found = new Map<string, Located>([['INBOX', { name: 'INBOX', path: this.path, selectable: true }]])
    for (const one of await this.#layout.all()) {
      const other = found.get(one.name)
      // Two spellings of one name on the disk: the one that we would write is the mailbox.
      const place = this.#layout.place(one.name)
      if (other === undefined || ('path' in place && place.path === one.path)) found.set(one.name, one)
    }
    return [...found.values()]
  }

  async #locate(wanted: string): Promise<Located | undefined> {
    await this.ready()
    const name = canonicalName(wanted)
    if (name === 'INBOX') return { name, path: this.path, selectable: true }
    // What could not be made under that name may be there all the same.
    const place = nameFault(name) === undefined ? this.#layout.place(name) : { fault: '' }
    if ('path' in place && (await ifThere(stat(join(place.path, 'cur'))))?.isDirectory() === true)
      return { name, path: place.path, selectable: true }
    return (await this.all()).find((one) => one.name === name && one.selectable)
  }

  #folder({ path, name }: Located): Folder {
    const known = this.#folders.get(path)
    this.#sweep(path)
    if (known !== undefined && !known.dead) return known
    const folder = new Folder(this.#around, path, name)
    this.#folders.set(path, folder)
    return folder
  }

  /** Looks for what is old in the folder's `tmp`, now and then: whoever uses the mailbox keeps it clean. */
  #sweep(path: string): void {
    const now = this.#options.now()
    if (now - (this.#swept.get(path) ?? -Infinity) < SWEEP) return
    this.#swept.set(path, now)
    void sweep(path, this.files, now)
  }

  /** The folder of that name, its files not looked at yet. Rejects with `code` when there is none. */
  async reach(name: string, code: 'NONEXISTENT' | 'TRYCREATE'): Promise<Folder> {
    const found = await this.#locate(name)
    if (found === undefined) throw new BackendError(code, `There is no mailbox ${name}`)
    const folder = this.#folder(found)
    if (folder.id === '' || (await readIdentity(found.path))?.id === folder.id) return folder
    // Another mailbox has taken the place of the one known.
    folder.destroy()
    return this.#folder(found)
  }

  /** The same, synced. */
  async open(name: string, code: 'NONEXISTENT' | 'TRYCREATE'): Promise<Folder> {
    for (let attempt = 0; ; attempt++) {
      const folder = await this.reach(name, code)
      try {
        await folder.exclusive(() => folder.sync())
        return folder
      } catch (error) {
        // Another mailbox has taken its place this very moment: that one is opened.
        if (!folder.dead || attempt > 0) throw error
      }
    }
  }

  async list(): Promise<readonly MailboxEntry[]> {
    const [all, subscribed] = [await this.all(), await this.#subscribed()]
    const entries = new Map<string, MailboxEntry>()
    const explicit = new Map<string, MailboxRole>()
    for (const one of all) {
      const role = one.selectable ? parseRole(await textOf(one.path, ROLE_FILE)) : undefined
      if (role !== undefined) explicit.set(one.name, role)
    }
    const roles = defaultRoles(
      all.filter(({ selectable }) => selectable).map(({ name }) => name),
      explicit,
    )
    for (const { name, path, selectable } of all) {
      const identity = selectable
        ? ((await readIdentity(path)) ?? (await this.#identify({ name, path, selectable })))
        : undefined
      if (selectable && identity === undefined) continue
      entries.set(name, {
        id: identity?.id ?? '',
        name,
        role: roles.get(name),
        subscribed: subscribed.has(name),
        selectable,
      })
    }
    for (const name of [...subscribed, ...[...entries.keys()].flatMap(parents)])
      if (!entries.has(name))
        entries.set(name, { id: '', name, role: undefined, subscribed: subscribed.has(name), selectable: false })
    return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** A folder that has no identity yet gets one. Undefined when it went in the meantime. */
  async #identify(located: Located): Promise<{ readonly id: string } | undefined> {
    const folder = this.#folder(located)
    try {
      await folder.exclusive(() => folder.sync())
      return folder
    } catch (error) {
      if (folder.dead) return undefined
      throw error
    }
  }

  async #subscribed(): Promise<Set<string>> {
    return parseSubscriptions((await textOf(this.path, SUBSCRIPTIONS)) ?? '', this.#layout.separator)
  }

  async subscribe(wanted: string, subscribed: boolean): Promise<void> {
    await this.ready()
    const name = canonicalName(wanted)
    const fault = nameFault(name)
    if (fault !== undefined && subscribed) throw new BackendError('CANNOT', fault)
    await this.exclusive(async () => {
      const unlock = await lockFile(join(this.path, `${SUBSCRIPTIONS}.lock`), this.#options.patience)
      try {
        const names = await this.#subscribed()
        if (names.has(name) === subscribed) return
        if (subscribed) names.add(name)
        else names.delete(name)
        await this.files.replace(join(this.path, SUBSCRIPTIONS), Buffer.from(formatSubscriptions(names)))
      } finally {
        await unlock()
      }
    })
    this.#options.tell(undefined)
  }

  /** Where a new mailbox goes. CANNOT. */
  #place(name: string): string {
    const fault = nameFault(name)
    if (fault !== undefined) throw new BackendError('CANNOT', fault)
    const place = this.#layout.place(name)
    if ('fault' in place) throw new BackendError('CANNOT', place.fault)
    return place.path
  }

  async create(wanted: string, role: MailboxRole | undefined): Promise<MailboxEntry> {
    await this.ready()
    const name = canonicalName(wanted)
    if (name === 'INBOX') throw new BackendError('ALREADYEXISTS', 'INBOX is always there')
    this.#place(name)
    if (role !== undefined) {
      const other = (await this.list()).find((entry) => entry.role === role)
      if (role === 'Inbox' || other !== undefined)
        throw new BackendError('USEATTR', `Another mailbox is \\${role} already`)
    }
    await this.exclusive(async () => {
      if ((await this.#locate(name)) !== undefined)
        throw new BackendError('ALREADYEXISTS', `The mailbox ${name} exists already`)
      await this.#makeParents(name)
      await this.#make(name, role)
    })
    await this.open(name, 'NONEXISTENT')
    this.#options.tell(undefined)
    const entry = (await this.list()).find((one) => one.name === name)
    if (entry === undefined) throw new BackendError('NONEXISTENT', `The mailbox ${name} was deleted at once`)
    return entry
  }

  async #makeParents(name: string): Promise<void> {
    for (const parent of parents(name))
      if (parent !== 'INBOX' && (await this.#locate(parent)) === undefined) await this.#make(parent, undefined)
  }

  async #make(name: string, role: MailboxRole | undefined): Promise<void> {
    const path = this.#place(name)
    await this.files.mkdir(path)
    if (this.#options.layout === 'maildir++') await this.files.replace(join(path, 'maildirfolder'), new Uint8Array())
    if (role !== undefined) await this.files.replace(join(path, ROLE_FILE), Buffer.from(formatRole(role)))
    // `cur` comes last: with it the folder is a mailbox.
    await this.files.maildir(path)
  }

  async delete(wanted: string): Promise<void> {
    const name = canonicalName(wanted)
    if (name === 'INBOX') throw new BackendError('CANNOT', 'INBOX cannot be deleted')
    await this.exclusive(async () => {
      const found = await this.#locate(name)
      if (found === undefined) throw new BackendError('NONEXISTENT', `There is no mailbox ${name}`)
      const folder = this.#folder(found)
      await folder.exclusive(async () => {
        // Out of sight in one step; what takes longer comes after.
        const away = join(this.path, 'tmp', `aviso-deleted.${this.files.unique()}`)
        if (this.#options.layout === 'maildir++') await this.files.rename(found.path, away)
        else await this.#deleteNested(found.path, away)
        await this.files.sync(dirname(found.path))
        folder.destroy()
        this.#folders.delete(found.path)
        await this.files.remove(away).catch(() => undefined)
      })
    })
    this.#options.tell(undefined)
  }

  /** The mailboxes below stay where they are. */
  async #deleteNested(path: string, away: string): Promise<void> {
    await this.files.mkdir(away)
    await this.files.rename(join(path, 'cur'), join(away, 'cur'))
    for (const entry of await readdir(path, { withFileTypes: true }))
      if (!entry.isDirectory() || entry.name === 'new' || entry.name === 'tmp')
        await this.files.rename(join(path, entry.name), join(away, entry.name))
    await rmdir(path).catch(() => undefined)
  }

  /** RENAME of all but INBOX. */
  async rename(wantedFrom: string, wantedTo: string): Promise<void> {
    const [from, to] = [canonicalName(wantedFrom), canonicalName(wantedTo)]
    await this.exclusive(async () => {
      const all = await this.all()
      const moving = all.filter(({ name }) => name === from || name.startsWith(`${from}/`))
      if (moving.length === 0) throw new BackendError('NONEXISTENT', `There is no mailbox ${from}`)
      this.#place(to)
      if (to.startsWith(`${from}/`)) throw new BackendError('CANNOT', 'A mailbox cannot move into its own child')
      if (to === 'INBOX' || all.some(({ name, selectable }) => name === to && selectable))
        throw new BackendError('ALREADYEXISTS', `The mailbox ${to} exists already`)
      const moves = moving.map((one) => {
        const name = to + one.name.slice(from.length)
        if (all.some((other) => other.name === name && other.selectable))
          throw new BackendError('ALREADYEXISTS', `The mailbox ${name} exists already`)
        return { one, name, path: this.#place(name) }
      })
      await this.#makeParents(to)
      const folders = moves.map(({ one }) => this.#folder(one)).sort((a, b) => (a.path < b.path ? -1 : 1))
      await exclusively(folders, () => this.#move(this.#options.layout === 'fs' ? moves.slice(0, 1) : moves))
      for (const { one, name, path } of moves) {
        const folder = this.#folders.get(one.path)
        this.#folders.delete(one.path)
        if (folder === undefined) continue
        folder.moved(path, name)
        this.#folders.set(path, folder)
      }
    })
    this.#options.tell(undefined)
  }

  async #move(moves: readonly { readonly one: Located; readonly path: string }[]): Promise<void> {
    const done: { from: string; to: string }[] = []
    try {
      for (const { one, path } of moves) {
        await this.files.rename(one.path, path)
        done.push({ from: one.path, to: path })
      }
      for (const folder of new Set(moves.flatMap(({ one, path }) => [dirname(one.path), dirname(path)])))
        await this.files.sync(folder)
    } catch (error) {
      for (const { from, to } of done.toReversed()) await this.files.rename(to, from).catch(() => undefined)
      if (['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw new BackendError('CANNOT', 'There are mailboxes below the new name already', { cause: error })
      throw error
    }
  }
}

/** Waits until none of the folders is in use, here and by programs that lock, and keeps it so here. In the order of `withFolders`. */
function exclusively(folders: readonly Folder[], work: () => Promise<void>): Promise<void> {
  const [first, ...others] = folders
  if (first === undefined) return work()
  return first.exclusive(async () => {
    // A lock that is held would move along, where its holder does not find it: it is waited for, and given back at once.
    const unlock = await first.lock()
    await unlock()
    return exclusively(others, work)
  })
}

/** `a/b/c` → `a`, `a/b`. */
function parents(name: string): string[] {
  const levels = name.split('/')
  return levels.slice(1).map((_, i) => levels.slice(0, i + 1).join('/'))
}
