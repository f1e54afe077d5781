// The conditions of rules, compiled once: what is asked of a stanza, the cheapest first.

import type { Element, Jid } from '@aviso/xmpp'
import { RecentMap } from '../../accounts/recent.ts'
import type { Role } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { createLimits } from '../../net/limits.ts'
import { AddressList } from '../core/address-list.ts'
import { isContact, subscriptionName } from '../core/subscriptions.ts'
import { type Conditions, DAYS, expressionOf, LOOKED_AT } from './config.ts'

/** A value, or the promise of one where something has to be read first. */
export type Soon<T> = T | Promise<T>

export type Direction = 'local' | 'in' | 'out'

/** A stanza that rules look at. */
export interface Subject {
  stanza: Element
  readonly from: Jid
  readonly to: Jid
  readonly direction: Direction
  /** Of the account whose client sent it. */
  readonly role: Role | undefined
  readonly marks: Set<string>
  /** Nothing is done, counted or remembered. */
  readonly dry: boolean
}

/** What conditions may ask of the house. */
export interface Surroundings {
  readonly scope: Scope
  /** The subscription state of the other party in the roster of our account: the recipient's where that is ours, else the sender's. */
  rosterState(subject: Subject): Soon<number>
}

/** The senders that carry a mark for a time. */
export class Marks {
  readonly #until = new RecentMap<string, number>(MAX_MARKS)

  set(name: string, sender: string, until: number): void {
    this.#until.set(`${name} ${sender}`, until)
  }

  has(name: string, sender: string, now: number): boolean {
    const until = this.#until.peek(`${name} ${sender}`)
    return until !== undefined && until > now
  }
}

const MAX_MARKS = 20_000

interface Test {
  /** As in the config. */
  readonly name: string
  holds(subject: Subject): Soon<boolean>
}

/** Undefined where all conditions hold, else the name of the first one that does not. */
export type Fit = (subject: Subject) => Soon<string | undefined>

export const typeOf = (stanza: Element): string =>
  stanza.get('type') ?? (stanza.name === 'message' ? 'normal' : stanza.name === 'presence' ? 'available' : '')

/** True for an element of that namespace, or {namespace}name. */
export function payloadMatcher(written: readonly string[]): (child: Element) => boolean {
  const wanted = new Set(written)
  return ({ name, xmlns }) => wanted.has(xmlns) || wanted.has(`{${xmlns}}${name}`)
}

/** The text that people read: of a message all its bodies and subjects, of a presence its status. */
export function textOf({ name, xmlns, elements }: Element): string {
  const texts = elements
    .filter((child) => child.xmlns === xmlns && (name === 'presence' ? child.name === 'status' : TEXTS.has(child.name)))
    .map((child) => child.text())
  return texts.join('\n')
}

const TEXTS: ReadonlySet<string> = new Set(['body', 'subject'])

/** Octets of the content, nearly. */
export const sizeOf = (stanza: Element): number => Buffer.byteLength(stanza.raw ?? stanza.toString(stanza.xmlns))

/** Compiles conditions. `rate` is apart: it is asked, and counts, when all else holds. Throws an Error for a table that is not there. */
export function compile(
  written: Conditions,
  zones: Readonly<Record<string, readonly (string | { readonly table: string })[]>>,
  marks: Marks,
  { scope, rosterState }: Surroundings,
): { readonly fit: Fit; readonly rate: Fit | undefined } {
  const tests: Test[] = []
  const test = <T>(name: string, wanted: T | undefined, holds: (wanted: T) => Test['holds']): void => {
    if (wanted !== undefined) tests.push({ name, holds: holds(wanted) })
  }
  const among =
    <T extends string>(value: (subject: Subject) => T | undefined) =>
    (wanted: readonly string[]): Test['holds'] => {
      const set: ReadonlySet<string | undefined> = new Set(wanted)
      return (subject) => set.has(value(subject))
    }
  const addresses = (wanted: NonNullable<Conditions['from']>): AddressList =>
    new AddressList(
      wanted.flatMap((entry) => (typeof entry !== 'string' && 'zone' in entry ? (zones[entry.zone] ?? []) : [entry])),
      scope,
    )
  const { clock } = scope

  test(
    'kind',
    written.kind,
    among(({ stanza }) => stanza.name),
  )
  test(
    'type',
    written.type,
    among(({ stanza }) => typeOf(stanza)),
  )
  test(
    'direction',
    written.direction,
    among(({ direction }) => direction),
  )
  test(
    'role',
    written.role,
    among(({ role }) => role),
  )
  test(
    'larger-than',
    written['larger-than'],
    (most) =>
      ({ stanza }) =>
        sizeOf(stanza) > most,
  )
  test('time', written.time, (time) => () => isTime(time, new Date(clock.now())))
  test(
    'marked',
    written.marked,
    (names) =>
      ({ marks: own, from }) =>
        names.some((name) => own.has(name) || marks.has(name, from.bareString, clock.now())),
  )
  test('payload', written.payload, (names) => {
    const matches = payloadMatcher(names)
    return ({ stanza }) => stanza.children.some((child) => typeof child !== 'string' && matches(child))
  })
  test('contains', written.contains, (texts) => {
    const folded = texts.map((one) => one.toLowerCase())
    return ({ stanza }) => {
      const text = textOf(stanza).toLowerCase()
      return folded.some((one) => text.includes(one))
    }
  })
  test('matches', written.matches, (expressions) => {
    const compiled = expressions.map(expressionOf)
    return ({ stanza }) => {
      const characters = Array.from(textOf(stanza).slice(0, 2 * LOOKED_AT)).slice(0, LOOKED_AT)
      const text = characters.join('')
      return compiled.some((one) => one.match(text) !== undefined)
    }
  })
  // What may have to be read comes last.
  test('from', written.from, (wanted) => {
    const list = addresses(wanted)
    return ({ from }) => list.has(from)
  })
  test('to', written.to, (wanted) => {
    const list = addresses(wanted)
    return ({ to }) => list.has(to)
  })
  test(
    'in-roster',
    written['in-roster'],
    (wanted) => (subject) => soon(rosterState(subject), (state) => isContact(state) === wanted),
  )
  test(
    'subscription',
    written.subscription,
    (wanted) => (subject) => soon(rosterState(subject), (state) => wanted.includes(subscriptionName(state))),
  )

  const fit: Fit = (subject) => firstMissing(tests, 0, subject)
  const { rate } = written
  if (rate === undefined) return { fit, rate: undefined }
  const limits = createLimits(clock, { rate: { rate: rate.rate, per: rate.per, burst: rate.burst } })
  return {
    fit,
    // A dry run counts nothing: as if there were no others.
    rate: (subject) => (subject.dry || limits.take('rate', COUNTED[rate.by](subject)) ? 'rate' : undefined),
  }
}

const COUNTED: Readonly<Record<NonNullable<Conditions['rate']>['by'], (subject: Subject) => string>> = {
  sender: ({ from }) => from.bareString,
  'sender-domain': ({ from }) => from.domain,
  recipient: ({ to }) => to.bareString,
  'recipient-domain': ({ to }) => to.domain,
  pair: ({ from, to }) => `${from.bareString} ${to.bareString}`,
  all: () => '',
}

function firstMissing(tests: readonly Test[], start: number, subject: Subject): Soon<string | undefined> {
  for (let at = start; at < tests.length; at++) {
    const test = tests[at]
    if (test === undefined) break
    const holds = test.holds(subject)
    if (holds instanceof Promise) return holds.then((late) => (late ? firstMissing(tests, at + 1, subject) : test.name))
    if (!holds) return test.name
  }
  return undefined
}

/** Goes on with a value when it is there. */
export const soon = <A, B>(value: Soon<A>, use: (value: A) => Soon<B>): Soon<B> =>
  value instanceof Promise ? value.then(use) : use(value)

const MINUTES_A_DAY = 1440

function isTime({ from, to, days }: NonNullable<Conditions['time']>, at: Date): boolean {
  const minute = at.getHours() * 60 + at.getMinutes()
  const end = to ?? MINUTES_A_DAY
  const past = from < end
  const within = past ? minute >= from && minute < end : minute >= from || minute < end
  // After midnight it still belongs to the day on which it began.
  const day = !past && minute < end ? (at.getDay() + 6) % 7 : at.getDay()
  return within && (days === undefined || days.some((name) => DAYS.indexOf(name) === day))
}
