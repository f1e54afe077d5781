// COPY, MOVE and EXPUNGE (RFC 9051 §6.4.3, §6.4.7, §6.4.8, RFC 4315, RFC 6851), by UID.

import type { SessionCore } from '../core.ts'
import { ImapClientError } from '../errors.ts'
import type { ResponseCode, UntaggedResponse } from '../response/types.ts'
import { type Uids, uidSets } from '../uid-set.ts'
import { store } from './fetch.ts'
import { search } from './search.ts'

/** What was copied, and where it is found there (RFC 4315 COPYUID). */
export interface Copied {
  /** Of the mailbox copied to; undefined where the server does not say (no UIDPLUS), or nothing was copied. */
  readonly uidValidity: number | undefined
  /** UID here → UID there, in the order in which the server told. */
  readonly uids: ReadonlyMap<number, number>
}

/** What was moved, and whether it is gone from here. */
export interface Moved extends Copied {
  /** False: the messages were copied and are marked \Deleted, but could not be expunged without expunging others too. */
  readonly expunged: boolean
}

class Pairs {
  readonly uids = new Map<number, number>()
  uidValidity: number | undefined

  /** True when the code was COPYUID. */
  note(code: ResponseCode | undefined): boolean {
    if (code?.kind !== 'copyuid') return code?.name === 'COPYUID'
    this.uidValidity = code.uidValidity
    for (const [at, from] of code.from.entries()) this.uids.set(from, code.to[at] ?? 0)
    return true
  }
}

async function transfer(
  core: SessionCore,
  command: 'COPY' | 'MOVE',
  uids: Uids,
  to: string,
  signal: AbortSignal | undefined,
): Promise<Pairs> {
  const pairs = new Pairs()
  for (const set of uidSets(uids)) {
    const end = await core.run(
      {
        name: `UID ${command}`,
        parts: [`UID ${command} ${set} `, core.mailbox(to)],
        // MOVE tells in an untagged OK, before the EXPUNGEs (RFC 6851 §4.3).
        accept: (response: UntaggedResponse) => response.kind === 'status' && pairs.note(response.code),
      },
      signal,
    )
    pairs.note(end.code)
  }
  return pairs
}

export async function copy(core: SessionCore, uids: Uids, to: string, signal?: AbortSignal): Promise<Copied> {
  const { uidValidity, uids: pairs } = await transfer(core, 'COPY', uids, to, signal)
  return { uidValidity, uids: pairs }
}

/** MOVE, else COPY, STORE \Deleted and EXPUNGE. */
export async function move(core: SessionCore, uids: Uids, to: string, signal?: AbortSignal): Promise<Moved> {
  if (core.has('MOVE')) {
    const { uidValidity, uids: pairs } = await transfer(core, 'MOVE', uids, to, signal)
    return { uidValidity, uids: pairs, expunged: true }
  }
  // The same messages in all three steps: one that arrives in between is in `1:*` too, and would be lost uncopied.
  const meant = await present(core, uids, signal)
  const { uidValidity, uids: pairs } = await transfer(core, 'COPY', meant, to, signal)
  await store(core, meant, '+FLAGS.SILENT (\\Deleted)', signal === undefined ? {} : { signal })
  const expunged = await expungeOnly(core, meant, signal)
  return { uidValidity, uids: pairs, expunged }
}

/** Removes what is marked \Deleted: all of it, or of these UIDs only. */
export async function expunge(core: SessionCore, uids: Uids | undefined, signal?: AbortSignal): Promise<void> {
  if (uids === undefined) {
    await core.run('EXPUNGE', signal)
    return
  }
  if (core.has('UIDPLUS')) {
    for (const set of uidSets(uids)) await core.run({ name: 'UID EXPUNGE', parts: [`UID EXPUNGE ${set}`] }, signal)
    return
  }
  if (await expungeOnly(core, await present(core, uids, signal), signal)) return
  throw new ImapClientError(
    'UNSUPPORTED',
    'Other messages are marked \\Deleted too, and the server cannot expunge some of them only: it has no UIDPLUS',
  )
}

/** Those that are there now. */
async function present(core: SessionCore, uids: Uids, signal: AbortSignal | undefined): Promise<number[]> {
  const found: number[] = []
  for (const set of uidSets(uids)) {
    found.push(...(await search(core, `UID ${set}`, signal === undefined ? {} : { signal })))
  }
  return found
}

/** False, and nothing done, when others would go too. */
async function expungeOnly(
  core: SessionCore,
  uids: readonly number[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (core.has('UIDPLUS')) {
    await expunge(core, uids, signal)
    return true
  }
  const meant = new Set(uids)
  const deleted = await search(core, 'DELETED', signal === undefined ? {} : { signal })
  if (deleted.some((uid) => !meant.has(uid))) return false
  if (deleted.length > 0) await core.run('EXPUNGE', signal)
  return true
}
