// Messages from elsewhere: one that cannot be taken does not keep the others out.

import type { AppendMessage } from '@aviso/imap'
import type { ImportAnswer } from '../administration.ts'
import type { Import } from '../mailboxes/import.ts'
import type { Imported } from '../mailboxes/import-operations.ts'
import { asMailAdminError, isOfOne } from './errors.ts'

/** One message for the store. */
type Entry = Import['entries'][number]

/** Takes messages by `give`, all at once; where one of them cannot be taken, one by one. Throws what ends an import. */
export async function takeAll(
  entries: readonly Entry[],
  give: (part: readonly Entry[]) => Promise<readonly Imported[]>,
): Promise<readonly ImportAnswer[]> {
  const some = async (part: readonly Entry[]): Promise<ImportAnswer[]> => {
    const done = await give(part)
    return done.map((one) =>
      one === 'known'
        ? { kind: 'known' }
        : 'uid' in one
          ? { kind: 'imported', uid: one.uid }
          : { kind: 'wanted', nth: one.nth },
    )
  }
  try {
    return await some(entries)
  } catch (error) {
    if (!isOfOne(error) || entries.length === 0) throw asMailAdminError(error)
  }
  // One of them cannot be taken: the others can.
  const answers: ImportAnswer[] = []
  for (const entry of entries) answers.push(await single(some, entry))
  return answers
}

/** Takes one message; where it is its keywords that cannot be taken, without them. */
async function single(some: (part: readonly Entry[]) => Promise<ImportAnswer[]>, entry: Entry): Promise<ImportAnswer> {
  const attempt = async (message: AppendMessage | undefined): Promise<ImportAnswer> => {
    const [answer] = await some([{ ...entry, message }])
    return answer ?? { kind: 'known' }
  }
  try {
    return await attempt(entry.message)
  } catch (error) {
    if (!isOfOne(error)) throw asMailAdminError(error)
    const { message } = entry
    const system = message?.flags.filter((flag) => flag.startsWith('\\')) ?? []
    if (message === undefined || system.length === message.flags.length)
      return { kind: 'failed', reason: reasonOf(error) }
    try {
      const answer = await attempt({ ...message, flags: system })
      return answer.kind === 'imported' ? { ...answer, note: `its keywords were left out: ${reasonOf(error)}` } : answer
    } catch (again) {
      if (!isOfOne(again)) throw asMailAdminError(again)
      return { kind: 'failed', reason: reasonOf(again) }
    }
  }
}

const reasonOf = (error: unknown): string => {
  const { message } = asMailAdminError(error) as Error
  return message
}
