// The administrator's own program that chooses a mailbox and flags for each mail that is delivered

import { isUtf8 } from 'node:buffer'
import type { FlagSet } from '@aviso/imap'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration } from '../../kernel/units.ts'
import type { Mail, Message, Routed } from '../pipeline/contracts.ts'
import {
  asEnvironment,
  checkPlaceholders,
  fillArguments,
  mailValues,
  ProgramError,
  programSettings,
  runProgram,
} from '../programs/run.ts'

const PLACEHOLDERS = [
  'ip',
  'hello',
  'mail',
  'session',
  'account',
  'sender',
  'recipients',
  'recipient',
  'original-recipient',
  'subject',
  'owner',
] as const

/** The setting `mail.filter`. */
export const filterConfig = v.strictObject({
  command: programSettings.command,
  arguments: programSettings.arguments(
    `${PLACEHOLDERS.map((one) => `{${one}}`).join(', ')}; {owner} is the account whose mailbox it is, {account} who sent the mail after a login`,
  ),
  timeout: v.pipe(duration('20s'), v.minValue(1), v.description('how long it may run before it is ended')),
  failure: v.optional(
    v.pipe(
      v.picklist(['defer', 'inbox']),
      v.description('when the program fails: the mail is tried again later, or goes where it would go without it'),
    ),
    'defer',
  ),
})
export type FilterConfig = v.InferOutput<typeof filterConfig>

/** What a filter wants; undefined: nothing. */
export interface Filing {
  readonly mailbox: string | undefined
  readonly flags: FlagSet | undefined
}

export interface MailboxFilter {
  /** Rejects with ProgramError when the mail shall be tried again later. */
  file(mail: Mail, message: Message, routed: Routed, owner: Account): Promise<Filing>
}

const MAX_FLAGS = 32
const FLAG = /^(?:\\(?:Seen|Answered|Flagged|Deleted|Draft)|[!#-'+-[^-z|}~][!#-'+-[\]^-z|}~]{0,63})$/i

/** Throws Error for a placeholder that is none. */
export function openFilter(scope: Scope, config: FilterConfig): MailboxFilter {
  checkPlaceholders(config.arguments, PLACEHOLDERS)
  return {
    async file(mail, message, routed, owner) {
      try {
        return await ask(scope, config, mail, message, routed, owner)
      } catch (error) {
        if (!(error instanceof ProgramError)) throw error
        scope.log.error({ err: error, mail: mail.id, account: owner.id }, 'the filter of mailboxes failed')
        if (config.failure === 'defer') throw error
        return NOTHING
      }
    },
  }
}

const NOTHING: Filing = { mailbox: undefined, flags: undefined }

async function ask(
  scope: Scope,
  config: FilterConfig,
  mail: Mail,
  message: Message,
  { address, recipient }: Routed,
  owner: Account,
): Promise<Filing> {
  const values = mailValues(mail, {
    owner: owner.address,
    recipient: address.toString(),
    'original-recipient': recipient.address.toString(),
    subject: (message.header.get('Subject') ?? '').replace(/\p{Cc}+/gu, ' ').slice(0, 1000),
  })
  const args = fillArguments(config.arguments, values)
  if (args === undefined) throw new ProgramError('a value that begins with a hyphen would be an option of the filter')
  const { status, output, error } = await runProgram(
    {
      command: config.command,
      args,
      message,
      timeout: config.timeout,
      environment: asEnvironment(values),
      signal: scope.signal,
    },
    scope.clock,
  )
  if (error !== '') scope.log.warn({ mail: mail.id, said: error }, 'the filter of mailboxes complains')
  if (status !== 0) throw new ProgramError(`${config.command} ended with ${status}`)
  return filingOf(output)
}

/** The first line is the mailbox, each other line a flag; empty lines are nothing. Throws ProgramError for what is neither. */
export function filingOf(output: string): Filing {
  const [first = '', ...others] = output.split('\n').map((line) => line.trim())
  const flags = others.filter((line) => line !== '')
  if (first.length > 1000 || /\p{Cc}/u.test(first) || !isUtf8(Buffer.from(first)))
    throw new ProgramError('the filter printed something that is no mailbox')
  const wrong = flags.find((flag) => !FLAG.test(flag))
  if (wrong !== undefined || flags.length > MAX_FLAGS)
    throw new ProgramError(
      wrong === undefined
        ? 'the filter printed too many flags'
        : `the filter printed '${wrong.slice(0, 50)}', which is no flag`,
    )
  return {
    mailbox: first === '' ? undefined : first,
    flags: flags.length === 0 ? undefined : flags,
  }
}
