// The segments of the index and how far it reaches.

import type { Transaction } from '../../../store/contracts.ts'

/** Goes up when words are found differently, or kept differently: an index of another version is made anew. */
export const INDEX_VERSION = 2

/** Live ones answer searches. Those being made hold part of what they will, those that are gone only wait to be deleted. */
export const SEGMENT = { live: 0, making: 1, gone: 2 } as const

/** Level 1 begins with so many emails, and each further one with `GROWTH` times as many: 8, 128, 2048, 32 768. */
const LEVEL_1 = 8
const GROWTH = 16
/** Segments of this level are merged no more. */
const LAST_LEVEL = 4
/** So many side by side are merged whatever they hold; and never more at once. */
const MANY = 32

export interface Segment {
  readonly id: number
  readonly level: number
  /** Emails from `first` to `last` are here, as many as `emails`. */
  readonly first: number
  readonly last: number
  readonly emails: number
}

const COLUMNS = 'id, level, first, last, emails'

function segmentOf(row: readonly unknown[]): Segment {
  const [id = 0, level = 0, first = 0, last = 0, emails = 0] = row as readonly number[]
  return { id, level, first, last, emails }
}

/** The level of a segment with so many emails. */
export function levelOf(emails: number): number {
  let level = 0
  for (let size = LEVEL_1; size <= emails && level < LAST_LEVEL; size *= GROWTH) level++
  return level
}

/** Every email up to this one is in the index. 0: there is none, or it is of another version. */
export async function indexedUpTo(tx: Transaction): Promise<number> {
  const row = await tx.get('SELECT indexed FROM mail_search WHERE id = 1 AND version = ?', INDEX_VERSION)
  return Number(row?.[0] ?? 0)
}

/** Makes the index empty. What it held is deleted later, in slices. */
export async function startAnew(tx: Transaction): Promise<void> {
  await tx.run(
    'INSERT INTO mail_search (id, version, indexed, segment) VALUES (1, ?, 0, 0) ON CONFLICT (id) DO UPDATE SET version = excluded.version, indexed = 0',
    INDEX_VERSION,
  )
  await tx.run('UPDATE mail_search_segment SET state = ?, target = NULL', SEGMENT.gone)
  await tx.run('DELETE FROM mail_search_dead')
}

export async function reached(tx: Transaction, email: number): Promise<void> {
  await tx.run('UPDATE mail_search SET indexed = ? WHERE id = 1', email)
}

/** A number for a new segment; never given twice. */
async function nextSegment(tx: Transaction): Promise<number> {
  const row = await tx.get('UPDATE mail_search SET segment = segment + 1 WHERE id = 1 RETURNING segment')
  return Number(row?.[0])
}

export async function addSegment(tx: Transaction, state: number, segment: Omit<Segment, 'id'>): Promise<Segment> {
  const id = await nextSegment(tx)
  await tx.run(
    'INSERT INTO mail_search_segment (id, state, level, first, last, emails, target) VALUES (?, ?, ?, ?, ?, ?, NULL)',
    id,
    state,
    segment.level,
    segment.first,
    segment.last,
    segment.emails,
  )
  return { id, ...segment }
}

/** Live segments with emails behind `email`, in their order. */
export async function liveSegments(tx: Transaction, email: number): Promise<readonly Segment[]> {
  const rows = await tx.all(
    `SELECT ${COLUMNS} FROM mail_search_segment WHERE state = ? AND last > ? ORDER BY first`,
    SEGMENT.live,
    email,
  )
  return rows.map(segmentOf)
}

/** A merge under way: into which segment, and from which, in their order. */
export interface Merge {
  readonly target: Segment
  readonly sources: readonly Segment[]
}

/** The merge to work on next: of those under way and those that could begin the one with the smallest outcome. */
export async function nextMerge(tx: Transaction): Promise<Merge | undefined> {
  const rows = await tx.all(
    `SELECT ${COLUMNS}, target, state FROM mail_search_segment WHERE state IN (?, ?) ORDER BY first, level`,
    SEGMENT.live,
    SEGMENT.making,
  )
  let making: Segment | undefined
  const live: { readonly segment: Segment; readonly target: unknown }[] = []
  for (const row of rows) {
    const segment = segmentOf(row)
    if (row[6] === SEGMENT.live) live.push({ segment, target: row[5] })
    else if (making === undefined || segment.level < making.level) making = segment
  }
  const sources = neighbours(live) ?? (making === undefined ? await mostlyDead(tx, live) : undefined)
  if (sources !== undefined && (making === undefined || outcome(sources) < making.level)) return beginMerge(tx, sources)
  if (making === undefined) return undefined
  const target = making
  return { target, sources: live.filter((one) => one.target === target.id).map(({ segment }) => segment) }
}

const emailsOf = (segments: readonly Segment[]): number => segments.reduce((sum, one) => sum + one.emails, 0)
const outcome = (sources: readonly Segment[]): number => levelOf(emailsOf(sources))

/**
 * Segments side by side that make one of a higher level than any of them has: so each email is written again once a level, and never for the few that came since.
 */
function neighbours(
  live: readonly { readonly segment: Segment; readonly target: unknown }[],
): readonly Segment[] | undefined {
  for (let level = 0; level < LAST_LEVEL; level++) {
    let run: Segment[] = []
    for (const { segment, target } of live) {
      if (target !== null || segment.level > level) run = []
      else run.push(segment)
      if (run.length > 1 && (outcome(run) > level || run.length >= MANY)) return run
    }
  }
  return undefined
}

/** A segment a quarter of which was deleted: writing it again without them costs at most four times what they had cost. */
async function mostlyDead(
  tx: Transaction,
  live: readonly { readonly segment: Segment; readonly target: unknown }[],
): Promise<readonly Segment[] | undefined> {
  if ((await tx.get('SELECT 1 FROM mail_search_dead WHERE segment IS NULL LIMIT 1')) === undefined) return undefined
  for (const { segment, target } of live) {
    if (target !== null) continue
    const row = await tx.get(
      'SELECT count(*) FROM mail_search_dead WHERE email BETWEEN ? AND ?',
      segment.first,
      segment.last,
    )
    if (Number(row?.[0]) * 4 >= Math.max(1, segment.emails)) return [segment]
  }
  return undefined
}

async function beginMerge(tx: Transaction, sources: readonly Segment[]): Promise<Merge> {
  const first = sources[0]?.first ?? 0
  const last = sources.at(-1)?.last ?? 0
  const dead = Number(
    (await tx.get('SELECT count(*) FROM mail_search_dead WHERE email BETWEEN ? AND ?', first, last))?.[0],
  )
  const emails = Math.max(0, emailsOf(sources) - dead)
  const target = await addSegment(tx, SEGMENT.making, { level: levelOf(emails), first, last, emails })
  for (const { id } of sources) await tx.run('UPDATE mail_search_segment SET target = ? WHERE id = ?', target.id, id)
  // Those that die from here on may stand in what is written already: they wait for the next merge.
  await tx.run('UPDATE mail_search_dead SET segment = ? WHERE email BETWEEN ? AND ?', target.id, first, last)
  return { target, sources }
}

/** The emails that a merge leaves out. */
export async function deadOf(tx: Transaction, { target }: Merge): Promise<ReadonlySet<number>> {
  const rows = await tx.all(
    'SELECT email FROM mail_search_dead WHERE segment = ? AND email BETWEEN ? AND ?',
    target.id,
    target.first,
    target.last,
  )
  return new Set(rows.map(([email]) => Number(email)))
}

/** The target takes the place of the sources. */
export async function endMerge(tx: Transaction, { target }: Merge): Promise<void> {
  await tx.run('UPDATE mail_search_segment SET state = ? WHERE target = ?', SEGMENT.gone, target.id)
  await tx.run(
    'UPDATE mail_search_segment SET state = ? WHERE id = ?',
    target.emails > 0 ? SEGMENT.live : SEGMENT.gone,
    target.id,
  )
  await tx.run('DELETE FROM mail_search_dead WHERE segment = ?', target.id)
}

/** Chunks deleted at once. */
const STEP = 16

/** Deletes a piece of a segment that is gone. False when there is none. */
export async function deleteGone(tx: Transaction): Promise<boolean> {
  const row = await tx.get('SELECT id FROM mail_search_segment WHERE state = ? LIMIT 1', SEGMENT.gone)
  if (row === undefined) return false
  const [id = 0] = row
  const deleted = await tx.run(
    'DELETE FROM mail_search_chunk WHERE rowid IN (SELECT rowid FROM mail_search_chunk WHERE segment = ? LIMIT ?)',
    id,
    STEP,
  )
  if (deleted < STEP) await tx.run('DELETE FROM mail_search_segment WHERE id = ?', id)
  return true
}

/** An email is about to be deleted: its words leave the index with one of the next merges, at the latest when a quarter of a segment is dead. */
export async function forgetEmail(tx: Transaction, email: number): Promise<void> {
  if (email <= (await indexedUpTo(tx)))
    await tx.run('INSERT INTO mail_search_dead (email, segment) VALUES (?, NULL) ON CONFLICT (email) DO NOTHING', email)
}
