// What a check does about what it found: one shape of setting for all of them.

import { SmtpError } from '@aviso/smtp'
import * as v from 'valibot'
import type { Verdict } from '../pipeline/contracts.ts'

const NAMES = ['accept', 'quarantine', 'defer', 'reject'] as const

export interface Action {
  readonly action: (typeof NAMES)[number]
  readonly code?: number | undefined
  readonly enhanced?: string | undefined
  readonly text?: string | undefined
}

const fits = ({ action, code, enhanced }: Action): boolean => {
  const digit = action === 'reject' ? '5' : action === 'defer' ? '4' : undefined
  if (digit === undefined) return code === undefined && enhanced === undefined
  return (
    (code === undefined || String(code).startsWith(digit)) && (enhanced === undefined || enhanced.startsWith(digit))
  )
}

/** The schema of such a setting: `accept`, `quarantine`, `defer`, `reject`, or one of them with the reply's parts. */
export const action = (standard: Action['action'], description: string) =>
  v.pipe(
    v.optional(
      v.union([
        v.picklist(NAMES),
        v.pipe(
          v.strictObject({
            action: v.picklist(NAMES),
            code: v.optional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599))),
            enhanced: v.optional(
              v.pipe(v.string(), v.regex(/^[45]\.\d{1,3}\.\d{1,3}$/, 'expected an enhanced code such as 5.7.1')),
            ),
            text: v.optional(v.pipe(v.string(), v.maxLength(400))),
          }),
          v.check(fits, 'defer takes codes that begin with 4, reject such with 5, the others take none'),
        ),
      ]),
      standard,
    ),
    v.transform((written): Action => (typeof written === 'string' ? { action: written } : written)),
    v.description(description),
  )

/** The reply where the setting names none: the enhanced code without its first digit, `7.23`. */
export interface StandardReply {
  readonly enhanced: string
  readonly text: string
}

/** The verdict that the setting wants. `why` is for the trace. */
export function decided(
  { action: name, code, enhanced, text }: Action,
  reply: StandardReply,
  besides: { readonly why: string; readonly results?: readonly string[] },
): Verdict {
  if (name === 'accept' || name === 'quarantine') return { action: name, ...besides }
  const digit = name === 'reject' ? '5' : '4'
  // Another code than ours says something else, which ours would contradict.
  const detail = enhanced ?? `${digit}.${code === undefined ? reply.enhanced : '7.0'}`
  return {
    action: name,
    reply: new SmtpError(code ?? (name === 'reject' ? 550 : 451), detail, text ?? reply.text),
    ...besides,
  }
}
