// Where administrators try the rules on a stanza that nobody has sent.

import { DEFAULT_PARSER_LIMITS, type Element, Jid, JidError, NS, readElement, StreamError } from '@aviso/xmpp'
import { AccountError } from '../../accounts/errors.ts'
import { type ServiceKey, serviceKey } from '../../kernel/scope.ts'
import { type Step, type Verdict, worded } from './rules.ts'

/** The rules of some of our domains. */
export interface RuleTrier {
  /** True where these rules are asked for a stanza between the two. */
  covers(from: Jid, to: Jid): boolean
  /** Tries a stanza: nothing is done, counted or remembered. */
  attempt(stanza: Element, from: Jid, to: Jid, steps: Step[]): Promise<Verdict>
}

/** Filled by the feature `rules`, where there are any. */
export type RuleDesk = Set<RuleTrier>

export const RuleDesk: ServiceKey<RuleDesk> = serviceKey('chat-rules')

/** What rules would do, in words. */
export interface RuleTrial {
  readonly steps: readonly Step[]
  /** The rule that decided; null where none did. */
  readonly rule: string | null
  readonly end: string
}

/** Reads a stanza as XML text, gives it these addresses, and asks the rules. Rejects with an AccountError for what is no stanza. */
export async function tryRules(
  desk: RuleDesk | undefined,
  { stanza: text, from, to }: { readonly stanza: string; readonly from: string; readonly to: string },
): Promise<RuleTrial> {
  const sender = addressOf(from)
  const recipient = addressOf(to)
  const rules = [...(desk ?? [])].find((trier) => trier.covers(sender, recipient))
  if (rules === undefined)
    throw new AccountError(
      'not-found',
      'there are no rules (chat.features.rules) for a domain of ours that one of these addresses has',
    )
  let stanza: Element
  try {
    stanza = readElement(text.trim(), { xmlns: NS.client, bindings: [] }, DEFAULT_PARSER_LIMITS)
  } catch (error) {
    if (error instanceof StreamError) throw new AccountError('invalid', `this is no stanza: ${error.message}`)
    throw error
  }
  if (stanza.xmlns !== NS.client || !['message', 'presence', 'iq'].includes(stanza.name))
    throw new AccountError('invalid', `this is no stanza: <${stanza.name} xmlns='${stanza.xmlns}'/>`)
  const steps: Step[] = []
  const addressed = stanza.with({ from: sender.toString(), to: recipient.toString() })
  const verdict = await rules.attempt(addressed, sender, recipient, steps)
  return { steps, rule: verdict.rule ?? null, end: worded(verdict) }
}

function addressOf(text: string): Jid {
  try {
    return Jid.parse(text)
  } catch (error) {
    if (error instanceof JidError) throw new AccountError('invalid', `'${text}' is no address: ${error.message}`)
    throw error
  }
}
