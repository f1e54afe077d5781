// XEP-0198: the streams that go on after a restart, on their way to the disk and back

import * as v from 'valibot'
import type { Store } from '../../store/contracts.ts'
import { suspendedSession } from '../core/suspended.ts'
import { SUSPENDED, type SuspendedStream, suspendedStore } from './suspended.store.ts'

/** Characters that are written, or read, in one transaction. */
const AT_ONCE = 4_194_304

const count = v.pipe(v.number(), v.integer(), v.minValue(0))

const suspension = v.object({
  session: suspendedSession,
  stream: v.object({
    sent: count,
    acknowledged: count,
    queue: v.pipe(v.array(v.object({ text: v.string(), at: v.number() })), v.readonly()),
  }),
})

/** A session and its stream, as they are written down. */
export interface Suspension extends v.InferOutput<typeof suspension> {
  /** The stream's. */
  readonly id: string
  /** The account's id. */
  readonly account: string
  /** The account's. */
  readonly domain: string
  /** When the client is given up. Milliseconds since the epoch. */
  readonly until: number
}

/** Writes them down; those that could not be written are answered, each with what kept it. */
export async function writeDown(
  store: Store,
  suspensions: Iterable<Suspension>,
): Promise<readonly (readonly [Suspension, unknown])[]> {
  const calls = store.service(suspendedStore, SUSPENDED)
  const failed: (readonly [Suspension, unknown])[] = []
  let group: Suspension[] = []
  let streams: SuspendedStream[] = []
  let characters = 0
  const write = async (): Promise<void> => {
    try {
      if (streams.length > 0) await calls.add({ streams })
    } catch (error) {
      for (const one of group) failed.push([one, error])
    }
    group = []
    streams = []
    characters = 0
  }
  for (const one of suspensions) {
    const { id, account, domain, until, ...rest } = one
    const state = JSON.stringify(rest)
    group.push(one)
    streams.push({ id, account, domain, until, state })
    characters += state.length
    if (characters >= AT_ONCE) await write()
  }
  await write()
  return failed
}

/** Takes all of a domain that are written down: they are there no more. What another edition wrote, and this one cannot read, is left out. */
export async function* takeBack(store: Store, domain: string): AsyncGenerator<readonly Suspension[]> {
  const calls = store.service(suspendedStore, SUSPENDED)
  for (;;) {
    const streams = await calls.take({ domain, characters: AT_ONCE })
    if (streams.length === 0) return
    yield streams.flatMap(({ state, ...about }) => {
      const { success, output } = v.safeParse(suspension, JSON.parse(state))
      return success ? [{ ...about, ...output }] : []
    })
  }
}
