// RFC 7377 ESEARCH: one search over many mailboxes. Mailboxes that are not selected are only looked at: nothing of them changes, \Recent included.

import { BackendError, type MailboxEntry } from '../backend.ts'
import { writeExtended } from '../search/answer.ts'
import { usesRecent, usesSaved, usesSequence } from '../search/keys.ts'
import { lookedAt, tooMany } from '../search/limit.ts'
import { Progress } from '../search/pace.ts'
import {
  checkRequest,
  checkTag,
  find,
  keep,
  newsOf,
  parseSearchArguments,
  refuseUpdate,
  resultOf,
  type SearchRequest,
} from '../search/request.ts'
import { RETURN_ALL, type ReturnOptions } from '../search/return-options.ts'
import { mailboxesOf, parseSources } from '../search/sources.ts'
import { type SearchTarget, targetOfSnapshot, targetOfView } from '../search/target.ts'
import { defineCommand } from '../server/command.ts'
import type { ImapServerSession } from '../server/session.ts'
import { bad, CommandError } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'

export const esearch = defineCommand({
  name: 'ESEARCH',
  state: 'authenticated',
  news: 'uid',
  withUid: true,
  parse(parser) {
    parser.space()
    const sources = parseSources(parser)
    const { returns = RETURN_ALL, request } = parseSearchArguments(parser)
    return { sources, returns, request }
  },
  async execute(session, { sources, returns, request }, tag) {
    const view = session.selected ? session.view : undefined
    const selected = sources.some(({ kind }) => kind === 'selected')
    if (selected && view === undefined) throw bad('No mailbox is selected')
    // RFC 7377 §2.3: what is saved or updated belongs to the selected mailbox.
    const alone = selected && sources.length === 1
    if (returns.words.has('SAVE') && !alone)
      throw bad('SAVE is only possible when the selected mailbox alone is searched')
    if (!(request instanceof CommandError)) {
      checkRequest(session, request, returns)
      if (!alone && (usesSequence(request.key) || usesSaved(request.key)))
        throw bad('Sequence numbers and $ are only known of the selected mailbox')
    }
    if (alone && view !== undefined) {
      checkTag(view, tag, returns)
      if (returns.words.has('SAVE')) view.saved = new Uint32Array(0)
    }
    if (request instanceof CommandError) throw request

    const { account } = session
    const progress = new Progress(session, tag)
    const limit = session.limits.messageLimit
    let left = limit ?? Infinity
    /** RFC 9738 §3.1 for all mailboxes together. Which UID was the last says nothing here, so what is too much is refused. */
    const spend = (target: SearchTarget): SearchTarget => {
      if (limit === undefined) return target
      left -= lookedAt(target, request.key, left)
      if (left < 0) throw tooMany(limit)
      return target
    }
    const here = view?.mailbox.id
    if (selected && view !== undefined) {
      const target = spend(targetOfView(view))
      const positions = await searchOne(session, tag, target, view.name, request, returns, progress)
      if (alone) keep(session, view, tag, true, request, returns, target, positions)
    }
    if (returns.words.has('UPDATE') && !alone)
      refuseUpdate(session, tag, 'Only searches of the selected mailbox are updated')
    if (sources.every(({ kind }) => kind === 'selected')) return newsOf(request)
    const searched = new Set(selected && here !== undefined ? [here] : [])
    for (const entry of mailboxesOf(sources, await account.list(), account)) {
      if (searched.has(entry.id)) continue
      searched.add(entry.id)
      try {
        const target =
          view !== undefined && entry.id === here ? targetOfView(view) : await openTarget(session, entry, request)
        await searchOne(session, tag, spend(target), entry.name, request, returns, progress)
      } catch (error) {
        // Gone, or closed to this user, in this moment.
        if (!(error instanceof BackendError) || (error.code !== 'NONEXISTENT' && error.code !== 'NOPERM')) throw error
      }
      if (session.winded) await session.breathe()
    }
    return newsOf(request)
  },
})

async function openTarget(
  { account }: ImapServerSession,
  { name }: MailboxEntry,
  { key }: SearchRequest,
): Promise<SearchTarget> {
  const mailbox = await account.open(name)
  const recentUid = usesRecent(key) ? (await account.status(name)).recentUid : Infinity
  return targetOfSnapshot(mailbox, await mailbox.snapshot(), recentUid)
}

/** Searches and answers; without a match there is no answer (RFC 7377 §2.1). Answers the positions found. */
async function searchOne(
  session: ImapServerSession,
  tag: string,
  target: SearchTarget,
  name: string,
  request: SearchRequest,
  returns: ReturnOptions,
  progress: Progress,
): Promise<Uint32Array> {
  const found = await find(session, target, request, returns, progress)
  if (found.positions.length > 0) {
    const where = ` MAILBOX ${writeMailboxName(name, session.utf8)} UIDVALIDITY ${target.mailbox.uidValidity}`
    await writeExtended(session, tag, returns, resultOf(target, request, found, true), where)
  }
  return found.positions
}
