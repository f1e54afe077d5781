// Runs a search over the selected mailbox in slices, so that others get their turn.

import type { ImapServerSession } from '../server/session.ts'
import { type Candidate, compile, type Test } from './evaluate.ts'
import type { SearchKey } from './keys.ts'
import { HeaderText } from './message-text.ts'

const BATCH = 256
const EMPTY = new Uint8Array(0)

/** Positions (sequence number - 1) of the messages found, ascending. */
export async function runSearch(session: ImapServerSession, key: SearchKey): Promise<number[]> {
  const { view } = session
  const test = compile(key, view)
  const found = new Set<number>()
  let waiting: Candidate[] = []
  let count = 0
  const positions: number[] = []
  for (const { position, row } of view.rows([{ start: 0, end: view.count }])) {
    const candidate: Candidate = { position, row, header: undefined, bytes: undefined }
    const result = test(candidate)
    if (result === true) positions.push(position)
    else if (result === undefined && waiting.push(candidate) === BATCH) {
      await searchTexts(session, test, waiting, found)
      waiting = []
    }
    if ((++count & 255) === 0 && session.winded) await session.breathe()
  }
  await searchTexts(session, test, waiting, found)
  if (found.size === 0) return positions
  return [...positions, ...found].sort((a, b) => a - b)
}

/** Decides on what the rows alone could not tell. */
async function searchTexts(
  session: ImapServerSession,
  test: Test,
  candidates: readonly Candidate[],
  found: Set<number>,
): Promise<void> {
  if (candidates.length === 0) return
  const { mailbox } = session.view
  const byUid = new Map(candidates.map((candidate) => [candidate.row.uid, candidate]))
  for await (const metas of mailbox.meta([...byUid.keys()], ['header'])) {
    for (const { uid, header } of metas) {
      const candidate = byUid.get(uid)
      if (candidate === undefined) continue
      candidate.header = new HeaderText(header ?? EMPTY)
      const result = test(candidate)
      if (result !== undefined) byUid.delete(uid)
      if (result === true) found.add(candidate.position)
      if (session.winded) await session.breathe()
    }
  }
  for (const candidate of byUid.values()) {
    candidate.header ??= new HeaderText(EMPTY)
    candidate.bytes = (await mailbox.raw(candidate.row.uid)) ?? EMPTY
    if (test(candidate) === true) found.add(candidate.position)
    candidate.bytes = undefined
    candidate.header = undefined
    if (session.winded) await session.breathe()
  }
}
