// The `routes` of the config: rules that send mail another way than to our accounts.

import { normaliseDomain, parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import * as v from 'valibot'
import { canonical } from '../accounts/address.ts'
import type { Tables } from '../accounts/tables/contracts.ts'
import { moduleMap } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { nearest } from '../kernel/nearest.ts'
import { mailChecks, mailModifiers } from './pipeline/contracts.ts'
import {
  covers,
  type End,
  type Fitting,
  type NamedModifier,
  type NamedTarget,
  type Pattern,
  type Route,
} from './pipeline/routes.ts'
import type { NamedCheck } from './pipeline/stage.ts'

const pattern = v.union([
  v.pipe(
    v.string(),
    v.check(
      (text) => textPattern(text) !== undefined,
      'expected an address, a domain, *.domain for its subdomains, postmaster, <> for the null sender, or * for all',
    ),
  ),
  v.strictObject({ table: v.pipe(v.string(), v.description('a table that holds addresses or domains')) }),
])
const patterns = (what: string) => v.optional(v.pipe(v.array(pattern), v.minLength(1), v.description(what)))

const refusal = v.pipe(
  v.strictObject({
    code: v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)), 554),
    enhanced: v.optional(
      v.pipe(v.string(), v.regex(/^[45]\.\d{1,3}\.\d{1,3}$/, 'expected an enhanced code such as 5.7.1')),
    ),
    text: v.optional(v.string(), 'This mail is refused by a rule of this server'),
  }),
  v.check(
    ({ code, enhanced }) => enhanced === undefined || enhanced.startsWith(String(code).charAt(0)),
    'the enhanced code must begin with the same digit as the code',
  ),
)

const rule = (registry: Registry) => ({
  sender: patterns('reverse-paths that it is for'),
  recipient: patterns('recipients that it is for, as modifiers made them'),
  account: patterns('accounts that it is for, by their addresses, where the client logged in'),
  checks: moduleMap(registry, mailChecks),
  modifiers: moduleMap(registry, mailModifiers),
  deliver: v.optional(
    v.pipe(
      v.array(v.string()),
      v.minLength(1),
      v.description('targets, each gets a copy; accounts stands for our accounts and aliases'),
    ),
  ),
  reject: v.optional(v.pipe(refusal, v.description('refuse such mail'))),
})

const oneEnd = (given: { deliver?: unknown; reject?: unknown; routes?: unknown }): boolean =>
  [given.deliver, given.reject, given.routes].filter((end) => end !== undefined).length <= 1

/** The schema of a list of routes; a route may hold routes of its own, one level deep. */
export const routesConfig = (registry: Registry) => {
  const inner = v.pipe(
    v.strictObject(rule(registry)),
    v.check((given) => oneEnd(given), 'a route has one of deliver and reject'),
  )
  const outer = v.pipe(
    v.strictObject({
      ...rule(registry),
      routes: v.optional(
        v.pipe(v.array(inner), v.description('rules for what this one fits; the first that fits counts')),
      ),
    }),
    v.check((given) => oneEnd(given), 'a route has one of deliver, reject and routes'),
  )
  return v.optional(
    v.pipe(
      v.array(outer),
      v.description(
        'rules for mail that goes another way; the first that fits a recipient counts, what none fits goes to our accounts',
      ),
    ),
    [],
  )
}

/** What a route calls our accounts and aliases. */
const ACCOUNTS = 'accounts'

type Rules = v.InferOutput<ReturnType<typeof routesConfig>>
type Rule = Rules[number] | NonNullable<Rules[number]['routes']>[number]

/** What a written rule is for; tables by their keys. */
function fittingOf(written: Rule): Fitting<string> {
  const made = (which: 'sender' | 'recipient' | 'account') => {
    const patterns = written[which]?.map((one): Pattern<string> | undefined =>
      typeof one === 'string' ? textPattern(one) : { kind: 'table', table: one.table },
    )
    return patterns === undefined ? {} : { [which]: patterns.filter((one) => one !== undefined) }
  }
  return { ...made('sender'), ...made('recipient'), ...made('account') }
}

/** What is wrong with routes as a whole, where `targets` are those of the config: targets that are not there, and routes that are never reached. Each with its place in the list. */
export function* mistakes(
  rules: readonly Rule[],
  targets: readonly string[],
): Generator<{ readonly path: readonly (string | number)[]; readonly message: string }> {
  const before: Fitting<string>[] = []
  for (const [index, one] of rules.entries()) {
    const fitting = fittingOf(one)
    const first = before.findIndex((other) => covers(other, fitting))
    before.push(fitting)
    if (first >= 0)
      yield {
        path: [index],
        message: `this route is never reached: route ${first + 1} of the list comes before it and takes all of its mail`,
      }
    for (const [at, key] of (one.deliver ?? []).entries()) {
      if (targets.includes(key)) continue
      const near = nearest(key, targets)
      const hint = near === undefined ? `known here: ${targets.join(', ')}` : `did you mean '${near}'?`
      yield { path: [index, 'deliver', at], message: `there is no target '${key}'; ${hint}` }
    }
    if ('routes' in one && one.routes !== undefined)
      for (const { path, message } of mistakes(one.routes, targets)) yield { path: [index, 'routes', ...path], message }
  }
}

/** What routes are made of besides themselves. */
export interface RouteParts {
  readonly tables: Tables
  target(key: string): NamedTarget | undefined
  checks(chosen: Rule['checks'], place: string): Promise<readonly NamedCheck[]>
  modifiers(chosen: Rule['modifiers'], place: string): Promise<readonly NamedModifier[]>
}

/** Makes the routes. Throws Error for a table that is not there. */
export async function makeRoutes(
  rules: readonly Rule[],
  parts: RouteParts,
  place = 'routes',
): Promise<readonly Route[]> {
  const routes: Route[] = []
  for (const [index, one] of rules.entries()) {
    const name = `${place}[${index}]`
    const made = (which: 'sender' | 'recipient' | 'account') => {
      const list = one[which]
      return list === undefined ? {} : { [which]: list.map((each) => makePattern(each, parts.tables, name)) }
    }
    routes.push({
      name,
      ...made('sender'),
      ...made('recipient'),
      ...made('account'),
      checks: await parts.checks(one.checks, name),
      modifiers: await parts.modifiers(one.modifiers, name),
      end: await makeEnd(one, parts, name),
    })
  }
  return routes
}

async function makeEnd(one: Rule, parts: RouteParts, name: string): Promise<End> {
  if ('routes' in one && one.routes !== undefined)
    return { kind: 'routes', routes: await makeRoutes(one.routes, parts, `${name}.routes`) }
  if (one.reject !== undefined) {
    const { code, enhanced = code < 500 ? '4.7.0' : '5.7.0', text } = one.reject
    return { kind: 'reject', reply: new SmtpError(code, enhanced, text) }
  }
  const { deliver = [ACCOUNTS] } = one
  return {
    kind: 'deliver',
    accounts: deliver.includes(ACCOUNTS),
    targets: deliver
      .filter((key) => key !== ACCOUNTS)
      .map((key) => {
        const target = parts.target(key)
        if (target === undefined) throw new Error(`mail ${name} delivers to '${key}', but there is no such target`)
        return target
      }),
  }
}

function makePattern(written: v.InferOutput<typeof pattern>, tables: Tables, name: string): Pattern {
  if (typeof written !== 'string') return { kind: 'table', table: tables.get(written.table) }
  const made = textPattern(written)
  if (made === undefined) throw new Error(`mail ${name}: '${written}' is no pattern`)
  return made
}

export function textPattern(text: string): Exclude<Pattern, { readonly kind: 'table' }> | undefined {
  if (text === '*') return { kind: 'any' }
  if (text === '<>') return { kind: 'null' }
  if (text === 'postmaster') return { kind: 'postmaster' }
  if (parseMailAddress(text) !== undefined) {
    const address = canonical(text)
    return address === undefined ? undefined : { kind: 'address', address }
  }
  if (text.startsWith('*.')) {
    const of = normaliseDomain(text.slice(2))
    return of === undefined ? undefined : { kind: 'subdomains', of }
  }
  const domain = normaliseDomain(text)
  return domain === undefined ? undefined : { kind: 'domain', domain }
}
