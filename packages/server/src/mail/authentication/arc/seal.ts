// RFC 8617 §5.1: adding an ARC set to a message that goes on.

import { foldedNames, namesToSign, OVERSIGN, SIGN, signedField, type SigningKey } from '../dkim/sign.ts'
import { Field, type Message, selectFields, signedOctets } from '../message.ts'
import { arcAuthenticationResults } from '../results.ts'
import { type ArcSet, arcSets, MAX_INSTANCE, sealedFields } from './sets.ts'
import type { ArcResult } from './verify.ts'

export interface SealOptions {
  readonly key: SigningKey
  readonly authservId: string
  /** What was found when the message came, ARC among it: each a `resinfo` of RFC 8601 §2.2. */
  readonly results: readonly string[]
  /** The chain as it was found; it must not be a temperror. */
  readonly chain: Pick<ArcResult, 'status'>
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** A mailing list behind us may add its own fields, so nothing is signed beyond what is there. */
const NAMES = [...OVERSIGN, ...SIGN, 'DKIM-Signature']

/**
 * The three fields of the new set, without their last line ends, topmost first; undefined where none may be added: the chain is broken already, or as
 * long as it may be (RFC 8617 §5.1.2). `message` is as it goes on.
 */
export async function sealArc(message: Message, options: SealOptions): Promise<readonly string[] | undefined> {
  const { key, now, chain } = options
  const before = arcSets(message)
  const sets: readonly ArcSet[] = typeof before === 'string' ? [] : before
  const found = sets.length === 0 && typeof before !== 'string' ? 'none' : chain.status === 'pass' ? 'pass' : 'fail'
  const instance = (typeof before === 'string' ? highest(message) : sets.length) + 1
  if (chain.status === 'temperror' || instance > MAX_INSTANCE || sets.at(-1)?.found === 'fail') return undefined
  const seconds = Math.floor(now / 1000)
  const tags = [`i=${instance}`, `a=${key.algorithm}`, `d=${key.domain}`, `s=${key.selector}`, `t=${seconds}`]
  const results = arcAuthenticationResults(instance, options.authservId, options.results)
  const body = (await message.bodyHashes(['relaxed'])).get('relaxed')
  const names = namesToSign(message, [], NAMES)
  const signed = await signedField(
    'ARC-Message-Signature',
    [...tags, 'c=relaxed/relaxed', foldedNames(names), `bh=${body?.digest.toString('base64') ?? ''}`],
    key,
    (field) => signedOctets(selectFields(message, names), field, 'relaxed'),
  )
  // A chain found broken is sealed with this set alone, as the others prove nothing (RFC 8617 §5.1.2).
  const covered = found === 'fail' ? [] : sealedFields(sets)
  const seal = await signedField('ARC-Seal', [...tags, `cv=${found}`], key, (field) =>
    signedOctets([...covered, Field.of(results), Field.of(signed)], field, 'relaxed'),
  )
  return [seal, signed, results]
}

/** The highest instance named in what is no chain. */
function highest(message: Message): number {
  let most = 0
  for (const name of ['arc-seal', 'arc-message-signature', 'arc-authentication-results'])
    for (const { value } of message.named(name).slice(0, 2 * MAX_INSTANCE)) {
      const number = Number(/(?:^|;)\s*i\s*=\s*([0-9]{1,3})\s*(?:;|$)/.exec(value)?.[1] ?? 0)
      most = Math.max(most, number)
    }
  return Math.min(most, MAX_INSTANCE)
}
