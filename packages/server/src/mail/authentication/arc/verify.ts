// RFC 8617 §5.2: validating an ARC chain.

import { setImmediate as turn } from 'node:timers/promises'
import { DkimKeys, KeyFailure } from '../dkim/key-record.ts'
import { parseSignature, SignatureFailure, signerOf } from '../dkim/signature.ts'
import { type DkimQuestion, fits, isSigned, judge } from '../dkim/verify.ts'
import { type Message, signedOctets } from '../message.ts'
import { base64Value, numberValue } from '../tag-list.ts'
import { parseResults, type ParsedResults } from '../results.ts'
import { type ArcSet, arcSets, sealedFields } from './sets.ts'

/** RFC 8601 §2.7 with RFC 8617 §9: the status of a chain; `temperror`: a key could not be had now. */
export type ArcStatus = 'none' | 'pass' | 'fail' | 'temperror'

export interface ArcResult {
  readonly status: ArcStatus
  /** Why, for people: printable ASCII. */
  readonly reason: string
  /** Sets found; 0 without a chain. */
  readonly instances: number
  /** The first instance whose message signature still stands; 0: the message is as its author sent it (RFC 8617 §5.2, step 5). Undefined unless it passes. */
  readonly oldestPass: number | undefined
  /** Who sealed, first one first; of a chain that passes. */
  readonly sealers: readonly ArcSealer[]
}

/** One intermediary of a chain that passes, and what it said. */
export interface ArcSealer {
  readonly domain: string
  readonly selector: string
  readonly results: ParsedResults | undefined
}

export type ArcQuestion = Omit<DkimQuestion, 'maxSignatures'>

/** Checks between two turns of the event loop: some milliseconds. */
const AT_ONCE = 10

class Broken extends Error {
  readonly status: 'fail' | 'temperror'
  constructor(status: Broken['status'], reason: string) {
    super(reason)
    this.status = status
  }
}

/** Validates. Rejects only as `signal` or the body says. */
export async function verifyArc(message: Message, question: ArcQuestion): Promise<ArcResult> {
  const sets = arcSets(message)
  if (typeof sets === 'string') return broken('fail', sets, 0)
  const last = sets.at(-1)
  if (last === undefined) return broken('none', 'no ARC sets', 0)
  try {
    mustBeChain(sets, last)
    const keys = question.keys ?? new DkimKeys()
    await checkMessage(message, last, keys, question)
    const sealers: ArcSealer[] = []
    for (let at = sets.length; at > 0; at--) {
      if ((sets.length - at) % AT_ONCE === AT_ONCE - 1) await turn()
      sealers.unshift(await checkSeal(sets.slice(0, at), keys, question))
    }
    return {
      status: 'pass',
      reason: `${sets.length} ${sets.length === 1 ? 'set' : 'sets'}, last by ${sealers.at(-1)?.domain ?? ''}`,
      instances: sets.length,
      oldestPass: await oldestPass(message, sets, keys, question),
      sealers,
    }
  } catch (error) {
    if (error instanceof Broken) return broken(error.status, error.message, sets.length)
    throw error
  }
}

const broken = (status: ArcStatus, reason: string, instances: number): ArcResult => ({
  status,
  reason,
  instances,
  oldestPass: undefined,
  sealers: [],
})

function mustBeChain(sets: readonly ArcSet[], last: ArcSet): void {
  if (last.found === 'fail') throw new Broken('fail', `the chain was broken before set ${last.instance}`)
  for (const { instance, found } of sets)
    if (found !== (instance === 1 ? 'none' : 'pass')) throw new Broken('fail', `set ${instance} has a wrong cv=`)
}

async function checkMessage(message: Message, set: ArcSet, keys: DkimKeys, question: ArcQuestion): Promise<void> {
  await guarded(`message signature ${set.instance}`, async () => {
    const signature = parseSignature(set.message, set.messageTags, false)
    // RFC 8617 §4.1.2.
    if (signature.names.includes('arc-seal')) throw new SignatureFailure('permerror', 'it covers an ARC-Seal')
    const key = await keys.find(signature.selector, signature.domain, question.resolver, question.signal)
    fits(signature, key)
    const hash = (await message.bodyHashes([signature.body])).get(signature.body)
    const { status, reason } = judge(message, signature, key, hash)
    if (status !== 'pass') throw new SignatureFailure('permerror', reason)
  })
}

/** The last of `sets`. */
async function checkSeal(sets: readonly ArcSet[], keys: DkimKeys, question: ArcQuestion): Promise<ArcSealer> {
  const last = sets.at(-1) as ArcSet
  return guarded(`seal ${last.instance}`, async () => {
    const { sealTags: tags, seal } = last
    const { algorithm, domain, selector } = signerOf(tags)
    const value = base64Value(tags.get('b') ?? '')
    const time = tags.get('t')
    if (value === undefined) throw new SignatureFailure('neutral', 'b= is no base64')
    if (time !== undefined && numberValue(time) === undefined) throw new SignatureFailure('neutral', 't= is no number')
    // RFC 8617 §4.1.3: what it covers is not for it to choose.
    if (tags.has('h') || tags.has('bh')) throw new SignatureFailure('permerror', 'it has an h= or bh=')
    const key = await keys.find(selector, domain, question.resolver, question.signal)
    fits({ algorithm, domain, identity: `@${domain}` }, key)
    const octets = signedOctets(sealedFields(sets).slice(0, -1), seal, 'relaxed')
    if (!isSigned(octets, algorithm, value, key)) throw new SignatureFailure('permerror', 'it does not fit the sets')
    return { domain, selector, results: parseResults(last.results.value.replace(/^[^;]*;/, '')) }
  })
}

/** How far back the message is the same: for those who weigh a chain by who changed it. */
async function oldestPass(
  message: Message,
  sets: readonly ArcSet[],
  keys: DkimKeys,
  question: ArcQuestion,
): Promise<number> {
  for (let at = sets.length - 2; at >= 0; at--) {
    if ((sets.length - at) % AT_ONCE === 0) await turn()
    try {
      await checkMessage(message, sets[at] as ArcSet, keys, question)
    } catch (error) {
      if (error instanceof Broken) return at + 2
      throw error
    }
  }
  return 0
}

async function guarded<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof SignatureFailure) throw new Broken('fail', `${what}: ${error.message}`)
    if (error instanceof KeyFailure)
      throw new Broken(error.status === 'temperror' ? 'temperror' : 'fail', `${what}: ${error.message}`)
    throw error
  }
}
