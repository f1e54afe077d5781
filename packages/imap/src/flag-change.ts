// What a change of flags makes of a set of flags.

import type { FlagChange, FlagSet } from './backend.ts'

/** Flags after a change, both in the mailbox's spelling; the very same array when it changes nothing. */
export function applyChange(old: FlagSet, action: FlagChange['action'], flags: FlagSet): FlagSet {
  if (action === 'add') {
    const added = flags.filter((flag) => !old.includes(flag))
    return added.length === 0 ? old : [...old, ...added]
  }
  if (action === 'remove') {
    const left = old.filter((flag) => !flags.includes(flag))
    return left.length === old.length ? old : left
  }
  // Setting the same flags in another order changes nothing.
  return flags.length === old.length && flags.every((flag) => old.includes(flag)) ? old : flags
}
