// The rules of one generation: which of them are for a stanza, and what becomes of it.

import { type Element, errorReply, StanzaError } from '@aviso/xmpp'
import {
  compile,
  type Fit,
  Marks,
  payloadMatcher,
  type Soon,
  soon,
  type Subject,
  type Surroundings,
} from './conditions.ts'
import type { Actions, Rule, RulesConfig } from './config.ts'

/** What rules do beside letting go on or not. None of it is done in a dry run. */
export interface Deeds {
  log(rule: string, text: string, subject: Subject): void
  report(rule: string, reason: 'spam' | 'abuse', subject: Subject): void
  copy(to: string, subject: Subject): void
  /** A rule was for a stanza. */
  count(rule: string, action: Verdict['end'] | 'other'): void
}

/** How a rule met a stanza. */
export interface Step {
  readonly rule: string
  /** What was done, in words; empty where the rule was not for the stanza. */
  readonly did: readonly string[]
  /** Why it was not. */
  readonly why?: string
}

/** What becomes of a stanza. */
export interface Verdict {
  readonly end: 'pass' | 'drop' | 'bounce' | 'redirect'
  /** The rule that decided; undefined where none did. */
  readonly rule: string | undefined
  /** As it goes on. */
  readonly stanza: Element
  /** With `bounce`. */
  readonly error?: StanzaError
}

interface Compiled {
  readonly name: string
  readonly fit: Fit
  act(subject: Subject, did: string[] | undefined): Verdict | undefined
}

export class Rules {
  readonly #rules: readonly Compiled[]
  readonly #marks = new Marks()

  /** Throws an Error for a table that is not there. */
  constructor(config: RulesConfig, around: Surroundings, deeds: Deeds) {
    this.#rules = config.rules.map((rule) => this.#compiled(rule, config.zones, around, deeds))
  }

  /** Takes a stanza through the rules. `steps` are filled where they are given. Rejects or throws where something cannot be found out now. */
  judge(subject: Subject, steps?: Step[]): Soon<Verdict> {
    return this.#from(0, subject, steps)
  }

  #from(start: number, subject: Subject, steps: Step[] | undefined): Soon<Verdict> {
    for (let at = start; at < this.#rules.length; at++) {
      const rule = this.#rules[at]
      if (rule === undefined) break
      const missing = rule.fit(subject)
      if (missing instanceof Promise)
        return missing.then((late) => met(rule, late, subject, steps) ?? this.#from(at + 1, subject, steps))
      const verdict = met(rule, missing, subject, steps)
      if (verdict !== undefined) return verdict
    }
    return { end: 'pass', rule: undefined, stanza: subject.stanza }
  }

  #compiled(rule: Rule, zones: RulesConfig['zones'], around: Surroundings, deeds: Deeds): Compiled {
    const when = compile(rule.if, zones, this.#marks, around)
    const unless = rule.unless && compile(rule.unless, zones, this.#marks, around)
    return {
      name: rule.name,
      fit: (subject) =>
        soon(when.fit(subject), (missing) => {
          if (missing !== undefined) return missing
          if (unless === undefined) return when.rate?.(subject)
          const excepted = soon(unless.fit(subject), (other) => other ?? unless.rate?.(subject))
          return soon(excepted, (other) => (other === undefined ? 'unless' : when.rate?.(subject)))
        }),
      act: (subject, did) => this.#act(rule.name, rule.do, subject, around, deeds, did),
    }
  }

  #act(
    name: string,
    { log, mark, report, strip, copy, pass, drop, bounce, redirect }: Actions,
    subject: Subject,
    { scope }: Surroundings,
    deeds: Deeds,
    did: string[] | undefined,
  ): Verdict | undefined {
    const { dry } = subject
    const isMessage = subject.stanza.name === 'message'
    if (log !== undefined) {
      did?.push(`log '${log}'`)
      if (!dry) deeds.log(name, log, subject)
    }
    if (mark !== undefined) {
      did?.push(`mark ${mark.name}`)
      subject.marks.add(mark.name)
      if (!dry && mark.for !== undefined)
        this.#marks.set(mark.name, subject.from.bareString, scope.clock.now() + mark.for)
    }
    if (report !== undefined) {
      did?.push(`report ${report}`)
      if (!dry) deeds.report(name, report, subject)
    }
    if (copy !== undefined && isMessage) {
      did?.push(`copy to ${copy}`)
      if (!dry) deeds.copy(copy, subject)
    }
    if (strip !== undefined) {
      did?.push(`strip ${strip.join(', ')}`)
      subject.stanza = subject.stanza.without(payloadMatcher(strip))
    }
    const verdict = end(name, subject.stanza, { pass, drop, bounce, redirect: isMessage ? redirect : undefined })
    if (verdict !== undefined) did?.push(worded(verdict))
    if (!dry) deeds.count(name, verdict?.end ?? 'other')
    return verdict
  }
}

function met(
  rule: Compiled,
  missing: string | undefined,
  subject: Subject,
  steps: Step[] | undefined,
): Verdict | undefined {
  if (missing !== undefined) {
    steps?.push({ rule: rule.name, did: [], why: missing })
    return undefined
  }
  const did: string[] | undefined = steps && []
  const verdict = rule.act(subject, did)
  if (did !== undefined) steps?.push({ rule: rule.name, did })
  return verdict
}

function end(
  rule: string,
  stanza: Element,
  { pass, drop, bounce, redirect }: Pick<Actions, 'pass' | 'drop' | 'bounce' | 'redirect'>,
): Verdict | undefined {
  if (drop !== undefined) return { end: 'drop', rule, stanza }
  if (bounce !== undefined) {
    const error = StanzaError.of(bounce.condition, bounce.text)
    return { end: 'bounce', rule, stanza, error }
  }
  if (redirect !== undefined) return { end: 'redirect', rule, stanza: stanza.with({ to: redirect }) }
  return pass === undefined ? undefined : { end: 'pass', rule, stanza }
}

/** A verdict in words, for people. */
export function worded({ end: what, stanza, error }: Verdict): string {
  if (what === 'redirect') return `redirect to ${stanza.get('to') ?? ''}`
  if (what !== 'bounce' || error === undefined) return what
  const told = errorReply(stanza, error) === undefined ? ' (an error or a result is not answered: it vanishes)' : ''
  return `bounce with ${error.condition}${error.text === '' ? '' : ` '${error.text}'`}${told}`
}
