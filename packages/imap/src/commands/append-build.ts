// What APPEND and REPLACE make of a message as it was given: its octets in one piece, in the form in which they are kept. And what can be refused of it
// before its octets are sent.

import { encodeBinaryParts, normaliseNewlines } from '@aviso/mime'
import { type AppendMessage, BackendError } from '../backend.ts'
import type { AnnouncedLiteral } from '../server/command.ts'
import type { ImapServerSession } from '../server/session.ts'
import type { Segments } from '../wire/command-reader.ts'
import { bad, type CommandError, no } from '../wire/errors.ts'
import type { Parser } from '../wire/parser.ts'
import { type Awaited, type GivenMessage, readMessages } from './append-message.ts'
import { UrlReader } from './append-url.ts'

/** Octets of a mailbox name or URL sent as a literal. */
const LONGEST_STRING = 8192
/** Literals this long are looked at before they are sent, even if the client does not wait. */
const LARGE = 65_536
/** Messages that are looked at before others get their turn. */
const TURN = 50
/** Octets that are worked on before others get their turn. */
const SLICE = 262_144

const tooBig = (limit: number): CommandError =>
  no(`The message is too large: at most ${limit} octets are taken`, 'TOOBIG')

const tooManyPieces = ({ limits }: ImapServerSession): CommandError =>
  no(`A message may have ${limits.appendPieces} pieces at most`, 'LIMIT')

/** Octets of all messages of one command. */
const mostOctets = (session: ImapServerSession): number =>
  Math.max(session.limits.multiAppend, session.account.appendLimit)

/** Octets that were given as literals. */
const givenOctets = ({ pieces }: GivenMessage): number =>
  pieces.reduce((sum, piece) => sum + (piece.kind === 'octets' ? piece.octets.length : 0), 0)

/** RFC 9738: how many messages one command may save. */
export function checkCount(session: ImapServerSession, messages: readonly GivenMessage[]): void {
  const limit = session.limits.messageLimit ?? session.limits.saveLimit
  if (limit !== undefined && messages.length > limit)
    throw no(`At most ${limit} messages can be appended at once`, `MESSAGELIMIT ${limit}`)
  const { appendMessages } = session.limits
  if (messages.length > appendMessages) throw no(`At most ${appendMessages} messages can be appended at once`, 'LIMIT')
}

/** An APPEND or REPLACE whose literals are coming. */
class Arriving {
  readonly mailbox: string
  readonly given: GivenMessage[] = []
  /** Of all literals of messages so far. */
  octets = 0
  readonly #parser: Parser
  readonly #reading: Generator<Awaited, void, void>

  constructor(parser: Parser, many: boolean) {
    this.#parser = parser
    this.mailbox = parser.mailbox()
    this.#reading = readMessages(parser, this.given, many)
  }

  /** Reads on, to the next literal that is not there yet. Throws when there is no place for one. */
  next(segments: Segments): Awaited {
    this.#parser.extend(segments)
    const { value } = this.#reading.next()
    if (value === undefined) throw bad('There is no place for a literal behind the message')
    return value
  }
}

/**
 * Decides on a literal inside APPEND or REPLACE: throws when it is not wanted. The parser stands before the mailbox name; false when that itself is the
 * literal. `replaces`: the one new message takes the place of an old one, so that the quota cannot be judged yet.
 */
export async function judgeMessageLiteral(
  session: ImapServerSession,
  parser: Parser,
  literal: AnnouncedLiteral,
  replaces: boolean,
): Promise<boolean> {
  const { size, binary, synchronising, segments, judged } = literal
  // The mailbox name: an ordinary string.
  if (parser.atEnd) return false
  const arriving = judged.state instanceof Arriving ? judged.state : new Arriving(parser, !replaces)
  judged.state = arriving
  const { mailbox, given } = arriving
  const awaited = arriving.next(segments)
  // Many short ones in one packet are judged without a pause else.
  if (given.length % TURN === 0) await new Promise((resolve) => setImmediate(resolve))
  const current = given.at(-1)
  if (current === undefined) throw bad('The message is missing')
  if (awaited === 'string') {
    if (binary) throw bad('A binary literal (~{n}) is not possible here')
    if (size > LONGEST_STRING) throw no(`A URL may have ${LONGEST_STRING} octets at most`, 'TOOBIG')
    return true
  }
  if (awaited === 'utf8' && !binary) throw bad('UTF8 takes a binary literal (~{n})')
  checkCount(session, given)
  if (current.pieces.length >= session.limits.appendPieces) throw tooManyPieces(session)
  // The way to call an APPEND off (RFC 3502).
  if (awaited === 'message' && size === 0) throw no('An empty message cannot be appended')
  const { account } = session
  if (givenOctets(current) + size > account.appendLimit) throw tooBig(account.appendLimit)
  const total = arriving.octets + size
  arriving.octets = total
  if (total > mostOctets(session))
    throw no(`All messages of one command may have ${mostOctets(session)} octets at most`, 'TOOBIG')

  // Said before the octets are sent, when the client asks, or when they are many.
  if (!synchronising && size < LARGE) return true
  // Asked together; a mailbox that is not there is the first thing to say.
  const [there, room] = await Promise.allSettled([
    total === size || account.appendLimitsDiffer === true
      ? checkMailbox(session, mailbox, givenOctets(current) + size)
      : undefined,
    replaces ? undefined : checkQuota(session, total, given.length),
  ])
  for (const answer of [there, room]) if (answer.status === 'rejected') throw answer.reason
  return true
}

/** `octets`: of the message at hand, so far. */
async function checkMailbox(session: ImapServerSession, mailbox: string, octets: number): Promise<void> {
  try {
    const { appendLimit } = await session.account.status(mailbox)
    if (appendLimit !== undefined && octets > appendLimit) throw tooBig(appendLimit)
  } catch (error) {
    if (error instanceof BackendError && error.code === 'NONEXISTENT')
      throw no('There is no such mailbox: CREATE it first', 'TRYCREATE')
    throw error
  }
}

/** Only what cannot fit for certain is refused: the store has the last word. */
async function checkQuota(session: ImapServerSession, octets: number, messages: number): Promise<void> {
  for (const { resource, usage, limit } of (await session.account.quota?.()) ?? []) {
    if (limit === undefined) continue
    // STORAGE is rounded up to units of 1024 octets, usage and limit both.
    const over =
      resource === 'STORAGE'
        ? octets > (limit - usage + 1) * 1024
        : resource === 'MESSAGE' && messages > Math.max(0, limit - usage)
    if (over) throw no('The mailbox is full', 'OVERQUOTA')
  }
}

/** The messages as the store takes them. Throws NO when one cannot be kept: then none is. */
export async function buildMessages(
  session: ImapServerSession,
  given: readonly GivenMessage[],
): Promise<AppendMessage[]> {
  checkCount(session, given)
  const urls = new UrlReader(session)
  const out: AppendMessage[] = []
  let total = 0
  for (const message of given) {
    const bytes = await octetsOf(session, message, urls)
    total += bytes.length
    if (total > mostOctets(session))
      throw no(`All messages of one command may have ${mostOctets(session)} octets at most`, 'TOOBIG')
    const { flags, date } = message
    out.push({ bytes, flags, ...(date === undefined ? {} : { internalDate: date.time, zone: date.zone }) })
  }
  return out
}

async function octetsOf(session: ImapServerSession, { pieces }: GivenMessage, urls: UrlReader): Promise<Uint8Array> {
  const limit = session.account.appendLimit
  if (pieces.length > session.limits.appendPieces) throw tooManyPieces(session)
  const runs: Uint8Array[] = []
  let length = 0
  let binary = false
  for (const piece of pieces) {
    if (piece.kind === 'octets' && !piece.binary && piece.octets.includes(0))
      throw no('The message holds NUL octets, which need a binary literal (~{n})', 'CANNOT')
    if (piece.kind === 'octets' && piece.binary) binary = true
    const run = piece.kind === 'octets' ? piece.octets : await urls.read(piece.url, limit - length)
    length += run.length
    if (length > limit) throw tooBig(limit)
    runs.push(run)
  }
  if (length === 0) throw no('An empty message cannot be appended')
  let bytes = runs.length === 1 && runs[0] !== undefined ? runs[0] : Buffer.concat(runs, length)
  if (binary) {
    // Messages are kept as lines of text: what is not goes into base64, with the same octets inside.
    bytes = encodeBinaryParts(bytes)
    if (bytes.includes(0))
      throw no('NUL octets can only be kept in a part whose Content-Transfer-Encoding is binary', 'UNKNOWN-CTE')
  }
  if (session.options.refuse8BitHeaders === true && !session.utf8 && has8BitHeader(bytes))
    throw no('The header has 8-bit characters, which need ENABLE UTF8=ACCEPT', 'CANNOT')
  bytes = await withNewlines(session, bytes)
  if (bytes.length > limit) throw tooBig(limit)
  return bytes
}

/** An 8-bit character before the first empty line. */
function has8BitHeader(bytes: Uint8Array): boolean {
  let empty = true
  for (const octet of bytes) {
    if (octet >= 0x80) return true
    if (octet === 0x0a && empty) return false
    if (octet !== 0x0d) empty = octet === 0x0a
  }
  return false
}

/** `normaliseNewlines`, with turns for others in between. */
async function withNewlines(session: ImapServerSession, bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.length <= SLICE) return normaliseNewlines(bytes)
  const slices: Uint8Array[] = []
  let changed = false
  for (let at = 0; at < bytes.length;) {
    let end = Math.min(bytes.length, at + SLICE)
    // Never between CR and LF.
    while (end < bytes.length && bytes[end - 1] === 0x0d) end++
    const slice = bytes.subarray(at, end)
    const normal = normaliseNewlines(slice)
    changed ||= normal !== slice
    slices.push(normal)
    at = end
    if (session.winded) await session.breathe()
  }
  return changed ? Buffer.concat(slices) : bytes
}
