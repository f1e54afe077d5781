// Which mailbox a folder of the source goes to.

import { nearest } from '../../kernel/nearest.ts'

export interface MappingOptions {
  /** A mailbox: the source's folders go below it, its INBOX into it. */
  readonly into: string | undefined
  /** Folders (with all below them) and where they go. */
  readonly map: readonly (readonly [folder: string, mailbox: string])[]
  /** Folders that are left out, with all below them. */
  readonly skip: readonly string[]
}

/** Gives the mailbox of each folder, undefined for one that is left out. Throws an Error for names in the options that the source does not have. */
export function mapping(
  folders: readonly string[],
  { into, map, skip }: MappingOptions,
  single: boolean,
): (folder: string) => string | undefined {
  for (const name of [...map.map(([folder]) => folder), ...skip])
    if (!folders.some((folder) => below(folder, name))) {
      const near = nearest(name, folders)
      throw new Error(
        `the source has no folder ${name}${near === undefined ? `; it has ${folders.slice(0, 12).join(', ')}` : `. Did you mean ${near}?`}`,
      )
    }
  // The longest name that fits counts.
  const rules = map.toSorted(([a], [b]) => b.length - a.length)
  return (folder) => {
    if (skip.some((name) => below(folder, name))) return undefined
    for (const [from, to] of rules) if (below(folder, from)) return to + folder.slice(from.length)
    if (single) return into ?? 'INBOX'
    if (into === undefined) return folder
    return folder === 'INBOX' ? into : `${into}/${folder}`
  }
}

const below = (folder: string, name: string): boolean =>
  folder === name || folder.startsWith(`${name}/`) || (/^inbox$/i.test(name) && folder === 'INBOX')
