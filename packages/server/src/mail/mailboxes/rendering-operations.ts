// Emails that an older Aviso rendered are rendered anew: in the background, in small steps, or when somebody asks for what they have not yet.

import { Headers } from '@aviso/mime'
import { commonHeader, messageKeys } from '@aviso/imap/render'
import { read, type Transaction, write } from '../../store/contracts.ts'
import { keepListed, keepRendered } from './emails.ts'
import { CODEC, octets, render, type Rendered, storableKeys } from './octets.ts'
import type { Span } from './uids.ts'

/** Emails and octets in one step: a few milliseconds. */
const STEP = 32
const STEP_OCTETS = 512 * 1024

/** True while some email of the account is still as an older renderer made it. Nearly always false, and quickly so. */
export async function anyStale(tx: Transaction): Promise<boolean> {
  return (await tx.get('SELECT 1 FROM mail_email WHERE rendered < 1 LIMIT 1')) !== undefined
}

/** The emails of the span's messages that are not rendered yet, at most some of them. */
export async function staleAmong(tx: Transaction, mailbox: number, span: Span): Promise<readonly number[]> {
  const rows = await tx.all(
    `SELECT e.id FROM mail_message m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? AND +e.rendered < 1
     UNION SELECT e.id FROM mail_expunged m JOIN mail_email e ON e.id = m.email WHERE m.mailbox = ? AND m.uid BETWEEN ? AND ? AND +e.rendered < 1`,
    mailbox,
    span.first,
    span.last,
    mailbox,
    span.first,
    span.last,
  )
  return rows.map(([id]) => Number(id))
}

/** What `catchUp` left to others. */
export interface CaughtUp {
  /** Emails whose octets are not in this database: to be rendered by whoever can read blobs. */
  readonly large: readonly { readonly email: number; readonly blob: string }[]
  /** Emails asked for that wait for the next step. */
  readonly rest: readonly number[]
  /** True when something is left after that. */
  readonly more: boolean
}

/** One step: renders some of `emails`, or of all that are stale, the oldest first. */
export const catchUp = write(async (tx, { emails }: { emails: readonly number[] | undefined }): Promise<CaughtUp> => {
  const wanted =
    emails ??
    (await tx.all('SELECT id FROM mail_email WHERE rendered < 1 ORDER BY id LIMIT ?', STEP)).map(([id]) => Number(id))
  const large: { email: number; blob: string }[] = []
  let [done, total] = [0, 0]
  for (const email of wanted) {
    if (done >= STEP || total >= STEP_OCTETS) break
    done++
    const row = await tx.get(
      'SELECT e.codec, e.size, e.blob, o.header, o.content FROM mail_email e LEFT JOIN mail_octets o ON o.email = e.id WHERE e.id = ? AND +e.rendered < 1',
      email,
    )
    if (row === undefined) continue
    const [codec, size, blob, header, content] = row
    if (codec === CODEC.blob) {
      large.push({ email, blob: String(blob) })
      continue
    }
    total += Number(size)
    const whole = wholeMessage(Number(codec), Number(size), header, content)
    if (whole === undefined) await keepFromHeader(tx, email)
    else await keepRendered(tx, email, render(whole))
  }
  const rest = wanted.slice(done)
  return { large, rest, more: rest.length > 0 || (emails === undefined && wanted.length === STEP) }
})

/** Undefined where the octets are missing or damaged. */
function wholeMessage(codec: number, size: number, header: unknown, content: unknown): Uint8Array | undefined {
  if (!(header instanceof Uint8Array)) return undefined
  try {
    const held = { codec, size, header, content: content instanceof Uint8Array ? content : new Uint8Array() }
    return octets(held, 0, size)
  } catch {
    return undefined
  }
}

/** Keeps what was rendered of an email in a blob; without `rendered` (the blob is lost), what its header tells. */
export const rendered = write(
  async (tx, { email, rendered }: { email: number; rendered: Rendered | undefined }): Promise<void> => {
    if (rendered === undefined) await keepFromHeader(tx, email)
    else await keepRendered(tx, email, rendered)
  },
)

async function keepFromHeader(tx: Transaction, email: number): Promise<void> {
  const row = await tx.get('SELECT header FROM mail_octets WHERE email = ?', email)
  const headers = Headers.parse(row?.[0] instanceof Uint8Array ? row[0] : new Uint8Array())
  await keepListed(tx, email, {
    commonHeader: commonHeader(headers),
    preview: new Uint8Array(),
    keys: storableKeys(messageKeys(headers)),
  })
}

/** A large message with what was made of it. */
export interface Prerendered {
  readonly rendered: Rendered
  /** What was given, which went to the worker and has come back. */
  readonly bytes: Uint8Array
}

/** Renders a large message, so that the transaction that keeps it has only rows to write. */
export const prerender = read(
  async (_tx, { bytes }: { bytes: Uint8Array }): Promise<Prerendered> => {
    const made = render(bytes)
    // Copies: a view would be of memory that goes back.
    const rendered: Rendered = {
      ...made,
      envelope: new Uint8Array(made.envelope),
      bodyStructure: new Uint8Array(made.bodyStructure),
      body: new Uint8Array(made.body),
      header: made.header === undefined ? undefined : new Uint8Array(made.header),
      commonHeader: new Uint8Array(made.commonHeader),
      preview: new Uint8Array(made.preview),
    }
    return { rendered, bytes }
  },
  { given: ({ bytes }) => [bytes], returned: ({ bytes }) => [bytes] },
)
