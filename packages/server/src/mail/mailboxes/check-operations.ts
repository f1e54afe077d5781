// What `aviso doctor mail` looks at in the database, in steps that keep nobody waiting; with `repair`, what can be computed anew is put right in the step that
// finds it. Nothing here guesses: what is lost is only told.

import { read, type SqlValue, type Transaction, write } from '../../store/contracts.ts'
import { BLOCK, blockIds, firstUid, FlagBlocks } from './flag-blocks.ts'
import { FlagSets } from './flags.ts'
import { allMailboxes, count, type Growth, type MailboxRow } from './mailbox-rows.ts'
import { CODEC, opened } from './octets.ts'
import { usageOf, NO_LIMITS } from './quota.ts'

export type FindingKind =
  /** A count of a mailbox or of the account is wrong. */
  | 'counter'
  /** How often an email stands in mailboxes is counted wrongly: it would be dropped too early, or never. */
  | 'references'
  /** Messages of a mailbox that is not there. */
  | 'stray'
  /** A message that says nothing: its email is not there. */
  | 'dangling'
  /** Pieces that are rendered of an email are missing. */
  | 'rendering'
  /** The octets of an email are missing or damaged. */
  | 'content'
  /** A blob that an email is in is missing or damaged. */
  | 'missing-blob'
  /** A blob that no email is in. */
  | 'orphan-blob'
  /** The packed columns of a mailbox are not what its rows are. */
  | 'packed'
  /** A number that is given once only would be given again. */
  | 'numbers'
  /** The text index cannot be read, or does not find what it should. */
  | 'text-index'

export interface Finding {
  readonly kind: FindingKind
  /** In words. */
  readonly text: string
  /** The messages that suffer. */
  readonly messages: readonly { readonly mailbox: string; readonly uid: number }[]
  readonly repaired: boolean
}

/** Findings of one step, and where the next one begins; undefined when this was the last. */
export interface Step {
  readonly findings: readonly Finding[]
  readonly next: number | undefined
}

export interface StepOrder {
  readonly after: number
  readonly repair: boolean
}

export const finding = (kind: FindingKind, text: string, repaired: boolean): Finding => ({
  kind,
  text,
  messages: [],
  repaired,
})

/** Counts of one mailbox, the next one after the id `after`. In one piece: counts of several moments say nothing. */
export const checkCounters = write(async (tx, { after, repair }: StepOrder): Promise<Step> => {
  const row = await tx.get('SELECT min(id) FROM mail_mailbox WHERE id > ?', after)
  if (row === undefined || row[0] === null) return { findings: [], next: undefined }
  const id = Number(row[0])
  const mailbox = (await allMailboxes(tx)).find((one) => one.id === id)
  if (mailbox === undefined) return { findings: [], next: id }
  const truth = await recounted(tx, id)
  const names = Object.keys(truth) as (keyof typeof truth)[]
  const wrong = names.filter((name) => truth[name] !== mailbox[name])
  if (wrong.length > 0 && repair)
    await tx.run(
      'UPDATE mail_mailbox SET messages = ?, unseen = ?, deleted = ?, octets = ?, deleted_octets = ? WHERE id = ?',
      truth.messages,
      truth.unseen,
      truth.deleted,
      truth.octets,
      truth.deletedOctets,
      id,
    )
  return {
    findings: wrong.map((name) =>
      finding('counter', `${mailbox.name}: ${name} is counted as ${mailbox[name]}, there are ${truth[name]}`, repair),
    ),
    next: id,
  }
})

type Counts = Pick<MailboxRow, 'messages' | 'unseen' | 'deleted' | 'octets' | 'deletedOctets'>

export async function recounted(tx: Transaction, mailbox: number): Promise<Counts> {
  const row = await tx.get(
    `SELECT count(*), coalesce(sum(1 - f.seen), 0), coalesce(sum(f.deleted), 0), coalesce(sum(m.size), 0), coalesce(sum(m.size * f.deleted), 0)
     FROM mail_message m JOIN mail_flagset f ON f.id = m.flagset WHERE m.mailbox = ?`,
    mailbox,
  )
  const [messages, unseen, deleted, octets, deletedOctets] = (row ?? []).map(Number)
  const counts = {
    messages: messages ?? 0,
    unseen: unseen ?? 0,
    deleted: deleted ?? 0,
    octets: octets ?? 0,
    deletedOctets: deletedOctets ?? 0,
  }
  await recountChanged(tx, mailbox, counts)
  return counts
}

/** Puts messages whose flags changed since they came from the counts of those flags to the counts of what they have now. */
async function recountChanged(tx: Transaction, mailbox: number, counts: Growth): Promise<void> {
  const sets = new FlagSets(tx)
  const blocks = new FlagBlocks(tx, mailbox)
  const [lowest, highest] = blockIds(mailbox)
  for (const [id] of await tx.all('SELECT id FROM mail_flags WHERE id BETWEEN ? AND ?', lowest, highest)) {
    const first = firstUid(Number(id))
    await blocks.load(first, first)
    for (const row of await tx.all(
      'SELECT uid, flagset, size FROM mail_message WHERE mailbox = ? AND uid BETWEEN ? AND ?',
      mailbox,
      first,
      first + BLOCK - 1,
    )) {
      const [uid = 0, flagset = 0, size = 0] = row as readonly number[]
      const now = blocks.flagset(uid, flagset)
      if (now === flagset) continue
      count(counts, await sets.byId(flagset), size, -1)
      count(counts, await sets.byId(now), size, 1)
    }
  }
}

/** Totals of the account, against its mailboxes: to be asked after those were checked. */
export const checkTotals = write(async (tx, { repair }: { repair: boolean }): Promise<Step> => {
  const usage = await usageOf(tx, NO_LIMITS)
  const mailboxes = await allMailboxes(tx)
  const truth = {
    octets: mailboxes.reduce((sum, { octets }) => sum + octets, 0),
    messages: mailboxes.reduce((sum, { messages }) => sum + messages, 0),
    mailboxes: mailboxes.length,
  }
  const wrong = (['octets', 'messages', 'mailboxes'] as const).filter((name) => usage[name] !== truth[name])
  if (wrong.length > 0 && repair)
    await tx.run(
      'UPDATE mail_state SET octets = ?, messages = ?, mailboxes = ? WHERE id = 1',
      truth.octets,
      truth.messages,
      truth.mailboxes,
    )
  return {
    findings: wrong.map((name) =>
      finding('counter', `the account's ${name} are counted as ${usage[name]}, there are ${truth[name]}`, repair),
    ),
    next: undefined,
  }
})

const ROWS = 4096

/** A place among the messages and expunged messages of all mailboxes. */
export interface Place {
  readonly table: 'message' | 'expunged'
  readonly mailbox: number
  readonly uid: number
}

/** The emails that the next rows after `after` are held by. */
export const references = read(async (tx, { after }: { after: Place }) => {
  const rows = await tx.all(
    after.table === 'message'
      ? 'SELECT mailbox, uid, email FROM mail_message WHERE (mailbox, uid) > (?, ?) ORDER BY mailbox, uid LIMIT ?'
      : 'SELECT mailbox, uid, email FROM mail_expunged WHERE (mailbox, uid) > (?, ?) ORDER BY mailbox, uid LIMIT ?',
    after.mailbox,
    after.uid,
    ROWS,
  )
  const last = rows.at(-1)
  const here: Place | undefined =
    rows.length === ROWS
      ? { table: after.table, mailbox: Number(last?.[0]), uid: Number(last?.[1]) }
      : after.table === 'message'
        ? { table: 'expunged', mailbox: 0, uid: 0 }
        : undefined
  return {
    emails: Float64Array.from(
      rows.filter((row) => row[2] !== null),
      (row) => Number(row[2]),
    ),
    next: here,
  }
})

/** The next emails and how often each is counted. */
export const counted = read(async (tx, { after }: { after: number }) => {
  const rows = await tx.all('SELECT id, refcount FROM mail_email WHERE id > ? ORDER BY id LIMIT ?', after, ROWS)
  return {
    emails: Float64Array.from(rows, (row) => Number(row[0])),
    counts: Float64Array.from(rows, (row) => Number(row[1])),
    next: rows.length === ROWS ? Number(rows.at(-1)?.[0]) : undefined,
  }
})

/** Emails that are under suspicion, in one moment. Messages without an email are taken out of no mailbox: the administrator may have a copy. */
export const recount = write(
  async (tx, { email, repair }: { email: number; repair: boolean }): Promise<readonly Finding[]> => {
    const held = await tx.get(
      'SELECT (SELECT count(*) FROM mail_message WHERE email = ?) + (SELECT count(*) FROM mail_expunged WHERE email = ?)',
      email,
      email,
    )
    const truth = Number(held?.[0])
    const row = await tx.get('SELECT refcount FROM mail_email WHERE id = ?', email)
    if (row === undefined) {
      if (truth === 0) return []
      const text = `email ${email} is missing, and ${truth} messages are it`
      return [{ ...finding('dangling', text, false), messages: await messagesOf(tx, email) }]
    }
    if (Number(row[0]) === truth) return []
    if (repair) await tx.run('UPDATE mail_email SET refcount = ? WHERE id = ?', truth, email)
    return [
      finding('references', `email ${email} is counted ${String(row[0])} times, and stands in ${truth} places`, repair),
    ]
  },
)

const EMAILS = 1000

/** Whether everything is rendered that should be. `stale`: emails that wait for catching up, which is no fault. */
export const checkRendering = write(
  async (tx, { after, repair }: StepOrder): Promise<Step & { readonly stale: number }> => {
    const rows = await tx.all(
      `SELECT e.id, e.rendered, k.email, l.email, o.email FROM mail_email e
       LEFT JOIN mail_keys k ON k.email = e.id LEFT JOIN mail_listing l ON l.email = e.id LEFT JOIN mail_octets o ON o.email = e.id
       WHERE e.id > ? ORDER BY e.id LIMIT ?`,
      after,
      EMAILS,
    )
    const findings: Finding[] = []
    let stale = 0
    for (const [id, rendered, keys, listing] of rows) {
      if (Number(rendered) < 1) stale++
      else if (keys === null || listing === null) {
        if (repair) await tx.run('UPDATE mail_email SET rendered = 0 WHERE id = ?', id ?? null)
        findings.push(finding('rendering', `email ${String(id)} is not rendered whole`, repair))
      }
    }
    const last = rows.length === EMAILS ? Number(rows.at(-1)?.[0]) : undefined
    for (const [table, sql, drop] of STRAYS)
      for (const [email] of await tx.all(sql, after, last ?? Number.MAX_SAFE_INTEGER)) {
        if (repair) await tx.run(drop, email ?? null)
        findings.push(
          finding('rendering', `a row of ${table} is of email ${String(email)}, which is not there`, repair),
        )
      }
    return { findings, next: last, stale }
  },
)

/** Rows without an email, by table: how to find those of a range, and how to drop one. */
const STRAYS = ['mail_keys', 'mail_listing', 'mail_octets'].map(
  (table) =>
    [
      table,
      `SELECT email FROM ${table} WHERE email > ? AND email <= ? AND NOT EXISTS (SELECT 1 FROM mail_email WHERE id = ${table}.email)`,
      `DELETE FROM ${table} WHERE email = ?`,
    ] as const,
)

/** Octets read in one step, about, and emails. */
const STEP_OCTETS = 512 * 1024
const CONTENTS = 128

/** Reads what emails say, as far as it is in the database: it must be there, open, and have its length. */
export const checkContent = read(async (tx, { after }: { after: number }): Promise<Step> => {
  const ids = await tx.all(
    'SELECT id, size, header_size, codec FROM mail_email WHERE id > ? ORDER BY id LIMIT ?',
    after,
    CONTENTS,
  )
  const findings: Finding[] = []
  let total = 0
  for (const [id = 0, size, headerSize, codec] of ids) {
    if (codec !== CODEC.blob) {
      total += Number(size)
      const held = await tx.get('SELECT header, content FROM mail_octets WHERE email = ?', id)
      const fault = faultOf(Number(codec), Number(size), Number(headerSize), held?.[0], held?.[1])
      if (fault !== undefined)
        findings.push({
          ...finding('content', `email ${String(id)}: ${fault}`, false),
          messages: await messagesOf(tx, Number(id)),
        })
    }
    if (total >= STEP_OCTETS) return { findings, next: Number(id) }
  }
  return { findings, next: ids.length === CONTENTS ? Number(ids.at(-1)?.[0]) : undefined }
})

function faultOf(
  codec: number,
  size: number,
  headerSize: number,
  header: SqlValue | undefined,
  content: SqlValue | undefined,
): string | undefined {
  if (!(header instanceof Uint8Array) || !(content instanceof Uint8Array)) return 'its octets are missing'
  if (header.byteLength !== headerSize)
    return `its header has ${header.byteLength} octets, and should have ${headerSize}`
  try {
    const length = header.byteLength + opened(codec, content, size - headerSize).byteLength
    return length === size ? undefined : `it has ${length} octets, and should have ${size}`
  } catch (error) {
    return `it cannot be opened (${error instanceof Error ? error.message : String(error)})`
  }
}

/** The blobs that emails are in, with the size that each must have. */
export async function neededBlobs(tx: Transaction) {
  const rows = await tx.all('SELECT blob, min(size), min(id) FROM mail_email WHERE blob IS NOT NULL GROUP BY blob')
  return rows.map(([blob, size, email]) => ({ blob: String(blob), size: Number(size), email: Number(email) }))
}

/** Where an email stands. */
export const whereabouts = read(async (tx, { email }: { email: number }) => messagesOf(tx, email))

async function messagesOf(tx: Transaction, email: number): Promise<Finding['messages']> {
  const rows = await tx.all(
    'SELECT b.name, m.uid FROM mail_message m JOIN mail_mailbox b ON b.id = m.mailbox WHERE m.email = ? LIMIT 100',
    email,
  )
  return rows.map(([mailbox, uid]) => ({ mailbox: String(mailbox), uid: Number(uid) }))
}

/** Forgets packed columns, so that they are made anew. */
export const forgetPacked = write(async (tx, { mailbox }: { mailbox: number }): Promise<void> => {
  await tx.run('DELETE FROM mail_packed WHERE mailbox = ?', mailbox)
})
