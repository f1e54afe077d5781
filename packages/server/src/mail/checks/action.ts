// What a check does about what it found: one shape of setting for all of them.

import { SmtpError } from '@aviso/smtp'
import * as v from 'valibot'
import type { Verdict } from '../pipeline/contracts.ts'

export type ActionName = 'accept' | 'quarantine' | 'reject' | 'defer'

/** A setting of an action, as read: the bare name, or with what the client is told. */
export interface Action {
  readonly action: ActionName
  readonly code?: number | undefined
  readonly enhanced?: string | undefined
  readonly text?: string | undefined
}

/** What the client is told where the setting does not say. Codes by action; `text` is for both. */
export interface Reply {
  readonly reject: readonly [code: number, enhanced: string]
  readonly defer: readonly [code: number, enhanced: string]
  readonly text: string
}

const NAMES = ['accept', 'quarantine', 'reject', 'defer'] as const

const long = v.pipe(
  v.strictObject({
    action: v.picklist(NAMES),
    code: v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599))),
    enhanced: v.optional(
      v.pipe(v.string(), v.regex(/^[45]\.\d{1,3}\.\d{1,3}$/, 'expected an enhanced code such as 5.7.1')),
    ),
    text: v.optional(
      v.pipe(
        v.string(),
        v.minLength(1),
        v.maxLength(400),
        v.regex(/^[ -~]*$/, 'expected printable ASCII, on one line'),
      ),
    ),
  }),
  v.check(
    ({ action, code, enhanced }) =>
      (action !== 'accept' && action !== 'quarantine') || (code === undefined && enhanced === undefined),
    'accept and quarantine have no code: the mail is taken',
  ),
  v.check(
    ({ action, code, enhanced }) =>
      [code, enhanced].every((one) => one === undefined || classOf(one) === digit(action)),
    'the codes of reject begin with 5, those of defer with 4',
  ),
)

const classOf = (code: number | string): string => String(code).charAt(0)
const digit = (action: ActionName): string => (action === 'defer' ? '4' : '5')

/**
 * The setting of what happens when `when`: `accept`, `quarantine`, `reject` or `defer`, or that with a `code`, an `enhanced` code and a `text` of one's own. With a
 * code alone, the enhanced code is x.7.0.
 */
export const action = (fallback: ActionName, when: string) =>
  v.optional(
    v.pipe(
      v.union(
        [v.picklist(NAMES), long],
        'expected accept, quarantine, reject or defer, or an object with action, code, enhanced and text',
      ),
      v.description(`${when}: accept, quarantine, reject or defer; or { action, code, enhanced, text }`),
      v.transform((written): Action => (typeof written === 'string' ? { action: written } : written)),
    ),
    fallback,
  )

/** A reply with the usual codes, of which only the end of the enhanced code tells one check from another: `7.23`. */
export const usual = (detail: string, text: string): Reply => ({
  reject: [550, `5.${detail}`],
  defer: [451, `4.${detail}`],
  text,
})

/** The verdict of an action, with what else the check has to say. `why` is for log and trace. */
export function carryOut(
  { action: name, code, enhanced, text }: Action,
  reply: Reply,
  why: string | { readonly why: string; readonly results?: readonly string[] },
): Verdict {
  const besides = typeof why === 'string' ? { why } : why
  if (name === 'accept' || name === 'quarantine') return { action: name, ...besides }
  const [standardCode, standardEnhanced] = reply[name]
  // Another code than ours says something else, which our enhanced code would contradict.
  const detailed = enhanced ?? (code === undefined ? standardEnhanced : `${classOf(code)}.7.0`)
  return { action: name, reply: new SmtpError(code ?? standardCode, detailed, text ?? reply.text), ...besides }
}

/** What a check says when it could not find out, where its setting leaves that open: the mail waits. */
export const LATER: Pick<Reply, 'defer'> = { defer: [451, '4.7.1'] }
