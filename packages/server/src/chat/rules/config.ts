// Rules on stanzas as the config writes them.

import { STANZA_CONDITIONS, type StanzaCondition } from '@aviso/xmpp'
import * as v from 'valibot'
import { LinearRegExp } from '../../accounts/tables/linear/match.ts'
import { issuePath } from '../../kernel/config/modules.ts'
import { duration, size } from '../../kernel/units.ts'
import { addressPattern, tableEntry } from '../core/address-list.ts'

/** Characters of a text that expressions look at. */
export const LOOKED_AT = 5_000

const one = <Item extends v.GenericSchema>(item: Item, description: string) =>
  v.optional(v.pipe(v.array(item), v.minLength(1, 'expected at least one'), v.description(description)))
const word = v.pipe(v.string(), v.regex(/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u, 'expected a name without blanks'))
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(1000))
const count = v.pipe(v.number(), v.minValue(0.001, 'expected a number above 0'))

const conditionName = v.picklist(Object.keys(STANZA_CONDITIONS) as StanzaCondition[])
const clockTime = v.pipe(
  v.string(),
  v.regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'expected a time such as "22:30"'),
  v.transform((written) => Number(written.slice(0, 2)) * 60 + Number(written.slice(3))),
)
const expression = v.pipe(
  v.string(),
  v.maxLength(500),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    try {
      expressionOf(dataset.value)
    } catch (error) {
      addIssue({ message: `the regular expression cannot be used: ${(error as Error).message}` })
    }
  }),
)

/** Compiles an expression of the config. Throws SyntaxError. */
export const expressionOf = (written: string): LinearRegExp =>
  new LinearRegExp(written, { ignoreCase: true, longest: LOOKED_AT })

const party = (whose: string) =>
  one(
    v.union([
      addressPattern,
      tableEntry,
      v.strictObject({ zone: v.pipe(v.string(), v.description('a name under `zones`')) }),
    ]),
    `${whose}: addresses, domains, *.domain, { table: NAME } or { zone: NAME }`,
  )

const payload = v.pipe(v.string(), v.regex(/^\S{1,300}$/, 'expected a namespace, or {namespace}name'))

export const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const

/** All of what is given must be so. Those that cost least are asked first; `rate` last. */
const conditions = v.pipe(
  v.strictObject({
    kind: one(v.picklist(['message', 'presence', 'iq']), 'the kind of the stanza'),
    type: one(word, 'its `type`; a message without one is `normal`, presence without one is `available`'),
    direction: one(
      v.picklist(['local', 'in', 'out']),
      'among our own accounts, from another server, or to another server',
    ),
    from: party('who sent it'),
    to: party('whom it is for'),
    role: one(v.string(), 'what the account may do whose client sent it; other senders have no role'),
    'in-roster': v.optional(
      v.pipe(
        v.boolean(),
        v.description(
          "the sender is a contact of our account's; of what leaves: the recipient is a contact of the sender's",
        ),
      ),
    ),
    subscription: one(
      v.picklist(['none', 'to', 'from', 'both']),
      "the subscription of that contact in our account's roster",
    ),
    payload: one(payload, 'it has an element of that namespace, or {namespace}name, as a child'),
    contains: one(text, 'its text (the body of a message, the status of a presence) contains one of these; A is a'),
    matches: one(
      expression,
      `a regular expression fits a part of its text; A is a. The first ${LOOKED_AT} characters are looked at`,
    ),
    'larger-than': v.optional(v.pipe(size(), v.description('its content is larger'))),
    time: v.optional(
      v.pipe(
        v.strictObject({
          from: v.optional(v.pipe(clockTime, v.description('the first minute')), '00:00'),
          to: v.optional(v.pipe(clockTime, v.description('the end; earlier than `from`: on the next day'))),
          days: one(v.picklist(DAYS), 'the days on which it begins'),
        }),
        v.description("the time of day, as the server's own clock shows it"),
      ),
    ),
    marked: one(word, 'a rule before has put one of these marks on the stanza or its sender'),
    rate: v.optional(
      v.pipe(
        v.strictObject({
          rate: v.pipe(count, v.description('how many are let by in the time of `per`')),
          per: v.pipe(duration('1m'), v.minValue(100), v.description('the time that `rate` counts for')),
          burst: v.optional(v.pipe(count, v.minValue(1), v.description('how many at once after a quiet time'))),
          by: v.optional(
            v.pipe(
              v.picklist(['sender', 'sender-domain', 'recipient', 'recipient-domain', 'pair', 'all']),
              v.description('what is counted apart'),
            ),
            'sender',
          ),
        }),
        v.description('there are more of them, with all else being so, than this'),
      ),
    ),
  }),
  v.description(
    'conditions that must all hold: `if` says for which stanzas a rule is, `unless` for which of them it is not',
  ),
)
export type Conditions = v.InferOutput<typeof conditions>

const actions = v.strictObject({
  log: v.optional(v.pipe(text, v.description('write a line with this text to the log'))),
  mark: v.optional(
    v.pipe(
      v.strictObject({
        name: v.pipe(word, v.description('the mark')),
        for: v.optional(
          v.pipe(duration(), v.description('how long its sender keeps it; if not set, only this stanza is marked')),
        ),
      }),
      v.description('put a mark on it, for rules that follow'),
    ),
  ),
  report: v.optional(
    v.pipe(v.picklist(['spam', 'abuse']), v.description('tell `aviso chat reports`, once an hour for each sender')),
  ),
  strip: one(payload, 'take these elements out'),
  copy: v.optional(v.pipe(addressPattern, v.description('send a copy of a message there (XEP-0297)'))),
  pass: v.optional(v.pipe(v.literal(true), v.description('let it go on; no rule that follows is asked'))),
  drop: v.optional(v.pipe(v.literal(true), v.description('let it vanish'))),
  bounce: v.optional(
    v.pipe(
      v.strictObject({
        condition: v.optional(
          v.pipe(conditionName, v.description('what its sender is told (RFC 6120 §8.3.3)')),
          'policy-violation',
        ),
        text: v.optional(v.pipe(text, v.description('the same in words'))),
      }),
      v.description('send it back'),
    ),
  ),
  redirect: v.optional(v.pipe(addressPattern, v.description('let a message go to that address instead'))),
})
export type Actions = v.InferOutput<typeof actions>

const ENDS = ['pass', 'drop', 'bounce', 'redirect'] as const

const rule = v.strictObject({
  name: v.pipe(
    v.string(),
    v.minLength(1),
    v.maxLength(100),
    v.description('for the log, the metrics and `aviso chat rules`'),
  ),
  if: v.optional(conditions, {}),
  unless: v.optional(conditions),
  do: v.pipe(
    actions,
    v.check(
      (given) => ENDS.filter((end) => given[end] !== undefined).length <= 1,
      'a rule has one of pass, drop, bounce and redirect',
    ),
    v.check((given) => Object.values(given).some((action) => action !== undefined), 'the rule does nothing'),
    v.description('what is done'),
  ),
})
export type Rule = v.InferOutput<typeof rule>

export const rulesConfig = v.pipe(
  v.strictObject({
    zones: v.optional(
      v.pipe(
        v.record(word, v.array(v.union([addressPattern, tableEntry]))),
        v.description('sets of addresses, domains and tables by their names, for `from` and `to`'),
      ),
      {},
    ),
    rules: v.optional(
      v.pipe(
        v.array(rule),
        v.maxLength(1000),
        v.description('in their order; a stanza goes through them until one ends it or lets it pass'),
      ),
      [],
    ),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const { zones, rules } = dataset.value
    const named = new Set<string>()
    for (const [index, { name, if: when, unless }] of rules.entries()) {
      const place = (...keys: readonly (string | number)[]) =>
        issuePath(dataset.value, { path: ['rules', index, ...keys] })
      if (named.has(name)) addIssue({ message: `there are two rules '${name}'`, path: place('name') })
      named.add(name)
      for (const [key, side] of [
        ['if', when],
        ['unless', unless],
      ] as const)
        for (const whose of ['from', 'to'] as const)
          for (const [at, entry] of (side?.[whose] ?? []).entries())
            if (typeof entry !== 'string' && 'zone' in entry && !Object.hasOwn(zones, entry.zone))
              addIssue({
                message: `there is no zone '${entry.zone}'; known here: ${Object.keys(zones).join(', ') || 'none'}`,
                path: place(key, whose, at, 'zone'),
              })
    }
  }),
)
export type RulesConfig = v.InferOutput<typeof rulesConfig>
