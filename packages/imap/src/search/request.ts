// A searching command on the selected mailbox, from its arguments to its answer: what SEARCH and SORT, and their UID forms, have in common.

import type { Completion } from '../server/command.ts'
import type { ImapServerSession } from '../server/session.ts'
import type { MailboxView } from '../server/view.ts'
import { pick, pickWhole } from '../sort/align.ts'
import { parseSortProgram, type SortProgram } from '../sort/program.ts'
import { sortPositions } from '../sort/run.ts'
import { quote } from '../wire/encode.ts'
import { bad, CommandError } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { chosen, type SearchResult, writeExtended, writePlain } from './answer.ts'
import { SearchContexts } from './contexts.ts'
import {
  parseCharset,
  parseSearchKeys,
  parseSearchProgram,
  type SearchKey,
  usesFuzzy,
  usesModseq,
  usesSequence,
} from './keys.ts'
import { limitedSearch, type LimitedSearch, refuseLargeSearch } from './limit.ts'
import { Progress, type SearchPace } from './pace.ts'
import { relevancy } from './relevancy.ts'
import { parseReturn, RETURN_ALL, type ReturnOptions } from './return-options.ts'
import { type Mask, runSearch } from './run.ts'
import { type SearchTarget, targetOfView } from './target.ts'

/** What is to be searched for. */
export interface SearchRequest {
  readonly key: SearchKey
  /** The client named a charset that it may not name once its strings are UTF-8 throughout: any, where it need not name one; another, where it must. */
  readonly charset: boolean
  /** Undefined: in mailbox order. */
  readonly program: SortProgram | undefined
}

/** The arguments of a searching command: a request, or why there can be none (NO, known only when it is executed: `$` must become empty). */
export interface SearchArguments {
  readonly returns: ReturnOptions | undefined
  readonly request: SearchRequest | CommandError
}

/** `[RETURN (...)] [CHARSET charset] keys`, to the end of the command. */
export const parseSearchArguments = (parser: Parser): SearchArguments =>
  parseArguments(parser, () => ({ ...parseSearchProgram(parser), program: undefined }))

/** `[RETURN (...)] (criteria) charset keys`, to the end of the command. */
export const parseSortArguments = (parser: Parser): SearchArguments =>
  parseArguments(parser, () => {
    const program = parseSortProgram(parser)
    parser.space()
    const charset = parseCharset(parser) !== 'UTF-8'
    parser.space()
    return { program, charset, key: parseSearchKeys(parser) }
  })

function parseArguments(parser: Parser, read: () => SearchRequest): SearchArguments {
  const returns = parseReturn(parser)
  return { returns, request: orRefusal(parser, read) }
}

/** Reads to the end of the command. A NO is kept for later; BAD is thrown. */
export function orRefusal<T>(parser: Parser, read: () => T): T | CommandError {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof CommandError) || error.status !== 'NO') throw error
    parser.skip()
    return error
  }
}

/** Searches the selected mailbox and answers. */
export async function answerSearch(
  session: ImapServerSession,
  tag: string,
  uid: boolean,
  { returns: given, request }: SearchArguments,
): Promise<Completion> {
  const { view } = session
  if (!(request instanceof CommandError)) checkRequest(session, request, given)
  checkTag(view, tag, given)
  const target = targetOfView(view)
  // RFC 5182 §2.1: whatever is refused with NO from here on leaves nothing saved.
  if (given?.words.has('SAVE') === true) view.saved = new Uint32Array(0)
  if (request instanceof CommandError) throw request

  const progress = new Progress(session, tag)
  const sorted = request.program !== undefined
  const { messageLimit } = session.limits
  if (sorted) refuseLargeSearch(target, request.key, messageLimit)
  const limited = sorted ? undefined : limitedSearch(target, request.key, messageLimit)
  const found = await find(session, target, request, given, progress, limited?.among)
  const result = resultOf(target, request, found, uid)
  const done = { code: limited?.code, ...newsOf(request) }
  const returns = given ?? (session.rev2 && !sorted ? RETURN_ALL : undefined)
  if (returns === undefined) {
    await writePlain(session, sorted ? 'SORT' : 'SEARCH', result)
    return done
  }
  await writeExtended(session, tag, returns, result)
  keep(session, view, tag, uid, request, returns, target, found.positions, limited)
  return done
}

/** RFC 7162 §3.2.10.2: no expunge is told with a search that names sequence numbers, also where it answers with UIDs. */
export const newsOf = ({ key }: SearchRequest): Pick<Completion, 'news'> =>
  usesSequence(key) ? { news: 'no-expunge' } : {}

/** What was found, in the order asked for, with its scores where they are wanted. */
export interface Found {
  readonly positions: Uint32Array
  readonly scores: Uint8Array | undefined
}

/** Throws BAD for what cannot be asked. */
export function checkRequest(
  session: ImapServerSession,
  { key, charset, program }: SearchRequest,
  returns: ReturnOptions | undefined,
): void {
  // RFC 9755 §3
  if (charset && session.enabled.has('UTF8=ACCEPT'))
    throw bad('After ENABLE UTF8=ACCEPT searches are in UTF-8 and name no other charset')
  // RFC 9586 §3
  if (session.uidOnly && usesSequence(key))
    throw bad('A search cannot name sequence numbers, which UIDONLY gave up: use the key UID', 'UIDREQUIRED')
  // RFC 6203 §4, §6
  const byRelevancy = program?.some(({ by }) => by === 'RELEVANCY') === true
  if ((byRelevancy || returns?.words.has('RELEVANCY') === true) && !usesFuzzy(key))
    throw bad('RELEVANCY is only known of searches with FUZZY')
}

/** RFC 5267 §4.3: two contexts cannot have one tag. */
export function checkTag(view: MailboxView, tag: string, returns: ReturnOptions | undefined): void {
  if (returns?.words.has('UPDATE') === true && view.contexts?.has(tag) === true)
    throw bad('The tag is that of a search whose updates are still told')
}

export async function find(
  session: ImapServerSession,
  target: SearchTarget,
  { key, program }: SearchRequest,
  returns: ReturnOptions | undefined,
  pace: SearchPace,
  among?: Mask,
): Promise<Found> {
  // RFC 7162 §3.1: a client that searches by mod-sequence knows them.
  if (usesModseq(key)) session.enableCondstore()
  const positions = await runSearch(target, key, pace, session.options.date?.() ?? Date.now(), among)
  const byRelevancy = program?.some(({ by }) => by === 'RELEVANCY') === true
  const scored = byRelevancy || returns?.words.has('RELEVANCY') === true
  const scores = scored ? await relevancy(target, positions, key, pace) : undefined
  if (program === undefined) return { positions, scores }
  const byPosition = new Uint8Array(scores === undefined ? 0 : target.count)
  positions.forEach((position, i) => (byPosition[position] = scores?.[i] ?? 0))
  const order = await sortPositions(target, positions, program, pace, byPosition)
  return { positions: order, scores: scores && Uint8Array.from(order, (position) => byPosition[position] ?? 1) }
}

export function resultOf(
  { rows }: SearchTarget,
  { key }: SearchRequest,
  { positions, scores }: Found,
  uid: boolean,
): SearchResult {
  return {
    numbers: uid ? pickWhole(rows.uids, positions) : positions.map((position) => position + 1),
    uid,
    modseqs: usesModseq(key) ? pick(rows.modseqs, positions) : undefined,
    scores,
  }
}

/** SAVE and UPDATE, once the search is answered. */
export function keep(
  session: ImapServerSession,
  view: MailboxView,
  tag: string,
  uid: boolean,
  { key, program }: SearchRequest,
  returns: ReturnOptions,
  { rows }: SearchTarget,
  positions: Uint32Array,
  limited?: LimitedSearch,
): void {
  const { words } = returns
  if (words.has('SAVE'))
    view.saved = pickWhole(rows.uids, pickWhole(positions, chosen(returns, positions.length))).sort()
  if (!words.has('UPDATE')) return
  // Scores of later messages would be compared with what the client has seen of others long ago.
  if (limited !== undefined) {
    refuseUpdate(session, tag, 'Not all messages were searched')
    return
  }
  const possible = program?.some(({ by }) => by === 'RELEVANCY') !== true
  view.contexts ??= new SearchContexts(session, view)
  if (!possible || !view.contexts.add(tag, uid, key, program, pickWhole(rows.uids, positions), returns.fetch))
    refuseUpdate(session, tag, possible ? 'There are too many searches to be updated' : 'RELEVANCY cannot be updated')
}

/** RFC 5267 §4.3.1: the search is answered, but changes will not be told. */
export const refuseUpdate = (session: ImapServerSession, tag: string, why: string): void =>
  session.out.untagged(`NO [NOUPDATE ${quote(tag)}] ${why}`)
