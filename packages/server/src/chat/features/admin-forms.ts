// XEP-0133: the forms and refusals that administration commands share

import { StanzaError } from '@aviso/xmpp'
import { AccountError } from '../../accounts/errors.ts'
import type { Command, FormStage, Stage } from '../core/commands.ts'
import { type Field, form, type Submission } from '../core/forms.ts'

export const ADMIN = 'http://jabber.org/protocol/admin'

/** A form of an administration command that completes it. */
export const ask = (
  title: string,
  fields: readonly Field[],
  next: (filled: Submission) => Stage | Promise<Stage>,
  instructions?: string,
): FormStage => ({ form: form({ title, instructions, formType: ADMIN }, fields), next })

/** An administration command: `node` is the part behind `admin#`. */
export const adminCommand = (node: string, name: string, run: Command['run']): Command => ({
  node: `${ADMIN}#${node}`,
  name,
  needs: 'administer',
  run,
})

export const jid = (name: string, label: string, many = false): Field => ({
  name,
  label,
  type: many ? 'jid-multi' : 'jid-single',
  required: true,
})

/** The value of a field that must be filled in. @throws StanzaError not-acceptable */
export function needed(filled: Submission, name: string): string {
  const value = filled.text(name)
  if (value === undefined) throw StanzaError.of('not-acceptable', `the field ${name} is empty`)
  return value
}

/** The values of a field that must be filled in, as lines. @throws StanzaError not-acceptable */
export function neededLines(filled: Submission, name: string): string {
  const lines = filled.list(name)
  if (lines.length === 0) throw StanzaError.of('not-acceptable', `the field ${name} is empty`)
  return lines.join('\n')
}

const CONDITIONS = {
  'not-found': 'item-not-found',
  exists: 'conflict',
  invalid: 'not-acceptable',
  'in-use': 'conflict',
  limit: 'resource-constraint',
  unavailable: 'resource-constraint',
} as const

/** What the accounts room refuses, in words of chat. */
export async function byAccounts<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (error instanceof AccountError) throw StanzaError.of(CONDITIONS[error.code], error.message, { cause: error })
    throw error
  }
}
