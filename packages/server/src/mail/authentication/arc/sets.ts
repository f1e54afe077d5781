// RFC 8617 §4 and §5.2: the ARC sets of a message, and whether they are a chain.

import type { Field, Message } from '../message.ts'
import { signatureTags } from '../dkim/signature.ts'

/** RFC 8617 §4.2.1. */
export const MAX_INSTANCE = 50

/** What one intermediary left. */
export interface ArcSet {
  readonly instance: number
  readonly results: Field
  readonly message: Field
  readonly messageTags: ReadonlyMap<string, string>
  readonly seal: Field
  readonly sealTags: ReadonlyMap<string, string>
  /** cv=: the chain as this intermediary found it. */
  readonly found: string
}

const NAMES = ['arc-authentication-results', 'arc-message-signature', 'arc-seal'] as const

/** The sets, first one first; none: the message has no ARC fields. A text says why what is there is no chain. */
export function arcSets(message: Message): readonly ArcSet[] | string {
  const [results, messages, seals] = NAMES.map((name) => message.named(name)) as [
    readonly Field[],
    readonly Field[],
    readonly Field[],
  ]
  const count = seals.length
  if (count === 0 && results.length === 0 && messages.length === 0) return []
  if (count > MAX_INSTANCE) return `more than ${MAX_INSTANCE} ARC sets`
  if (results.length !== count || messages.length !== count) return 'an ARC set is not whole'
  const resultsBy = byInstance(results, (field) => /^\s*i\s*=\s*([0-9]{1,2})\s*;/.exec(field.value)?.[1])
  const messagesBy = byInstance(messages, (field) => signatureTags(field)?.get('i'))
  const sealsBy = byInstance(seals, (field) => signatureTags(field)?.get('i'))
  const sets: ArcSet[] = []
  for (let instance = 1; instance <= count; instance++) {
    const [result, signature, seal] = [resultsBy, messagesBy, sealsBy].map((by) => by.get(instance))
    const messageTags = signature === undefined ? undefined : signatureTags(signature)
    const sealTags = seal === undefined ? undefined : signatureTags(seal)
    // A number twice leaves another one out.
    if (!result || !signature || !seal || !messageTags || !sealTags) return `ARC set ${instance} is not whole`
    sets.push({
      instance,
      results: result,
      message: signature,
      messageTags,
      seal,
      sealTags,
      found: sealTags.get('cv')?.toLowerCase() ?? '',
    })
  }
  return sets
}

function byInstance(
  fields: readonly Field[],
  instanceOf: (field: Field) => string | undefined,
): ReadonlyMap<number, Field> {
  const found = new Map<number, Field>()
  for (const field of fields) {
    const text = instanceOf(field)
    if (text !== undefined && /^[1-9][0-9]?$/.test(text)) found.set(Number(text), field)
  }
  return found
}

/** The octets that seal number `sets.length` covers: all sets in order, its own `b=` empty (RFC 8617 §5.1.1). */
export const sealedFields = (sets: readonly Pick<ArcSet, 'results' | 'message' | 'seal'>[]): readonly Field[] =>
  sets.flatMap(({ results, message, seal }) => [results, message, seal])
