// Where a mailbox lies: Maildir++ (`.Name.Sub` beside INBOX) or nested folders (Dovecot's LAYOUT=fs). INBOX is the root itself.

import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalName, decodeMutf7, encodeMutf7 } from '../wire/mailbox-name.ts'
import { ifThere } from './files.ts'

/** How folders lie on the disk: `maildir++` as `.Folder.Sub` side by side, `fs` as folders in folders. */
export type LayoutName = 'maildir++' | 'fs'

/** A mailbox found in the tree. */
export interface Located {
  readonly name: string
  readonly path: string
  /** It has messages; else it is a folder with others below it. */
  readonly selectable: boolean
}

export interface Layout {
  readonly separator: string
  /** The folder of a name that is canonical and no INBOX, or why there cannot be one, as a sentence. */
  place(name: string): { readonly path: string } | { readonly fault: string }
  /** All mailboxes but INBOX. */
  all(): Promise<readonly Located[]>
}

/** Octets that a file system takes for one name. */
const LONGEST = 255
const DEEPEST = 40

export const layoutOf = (kind: LayoutName, root: string): Layout => (kind === 'fs' ? nested(root) : flat(root))

const isMaildir = async (path: string): Promise<boolean> =>
  (await ifThere(stat(join(path, 'cur'))))?.isDirectory() === true

/** The level of a name that a piece of a path stands for. What is no modified UTF-7 is taken as it stands. */
const levelOf = (piece: string): string => decodeMutf7(piece) ?? piece

function flat(root: string): Layout {
  return {
    separator: '.',
    place(name) {
      const levels = name.split('/').map(encodeMutf7)
      if (levels.some((level) => level.includes('.')))
        return { fault: 'A mailbox name cannot hold a dot here: it separates levels' }
      const folder = `.${levels.join('.')}`
      if (folder.length > LONGEST) return { fault: 'The mailbox name is too long for the file system' }
      return { path: join(root, folder) }
    },
    async all() {
      const found: Located[] = []
      for (const entry of (await ifThere(readdir(root))) ?? []) {
        if (!entry.startsWith('.')) continue
        const pieces = entry.slice(1).split('.')
        if (pieces.includes('')) continue
        const path = join(root, entry)
        const name = canonicalName(pieces.map(levelOf).join('/'))
        if (name !== 'INBOX' && (await isMaildir(path))) found.push({ name, path, selectable: true })
      }
      return found
    },
  }
}

/** Folders of a Maildir, and files of its programs: no names of mailboxes. */
const isTaken = (piece: string): boolean =>
  /^(?:cur|new|tmp|subscriptions|maildirfolder|maildirsize)$|^(?:dovecot|aviso-|\.)/i.test(piece)

function nested(root: string): Layout {
  const walk = async (
    path: string,
    above: readonly string[],
    real: readonly string[],
    found: Located[],
  ): Promise<void> => {
    if (above.length > DEEPEST) return
    for (const entry of (await ifThere(readdir(path, { withFileTypes: true }))) ?? []) {
      if (isTaken(entry.name)) continue
      const inside = join(path, entry.name)
      if (!entry.isDirectory() && !(entry.isSymbolicLink() && (await ifThere(stat(inside)))?.isDirectory() === true))
        continue
      const here = await ifThere(realpath(inside))
      // A link to a folder above would go round for ever.
      if (here === undefined || real.includes(here)) continue
      const pieces = [...above, entry.name]
      const name = canonicalName(pieces.map(levelOf).join('/'))
      if (name !== 'INBOX') found.push({ name, path: inside, selectable: await isMaildir(inside) })
      await walk(inside, pieces, [...real, here], found)
    }
  }
  return {
    separator: '/',
    place(name) {
      const pieces = name.split('/').map(encodeMutf7)
      if (pieces.some(isTaken))
        return {
          fault: 'A level of a mailbox name cannot begin with a dot, nor be a name that the Maildir needs itself',
        }
      if (pieces.some((piece) => piece.length > LONGEST))
        return { fault: 'The mailbox name is too long for the file system' }
      if (pieces.length > DEEPEST) return { fault: 'The mailbox lies too deep' }
      return { path: join(root, ...pieces) }
    },
    async all() {
      const found: Located[] = []
      const here = await ifThere(realpath(root))
      if (here !== undefined) await walk(root, [], [here], found)
      return found
    },
  }
}
