// One attempt: some recipients of one mail are delivered to their target, and each has an outcome, whatever happens.

import { parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import type { Account, Accounts } from '../../../accounts/contracts.ts'
import type { Log } from '../../../kernel/log.ts'
import type { Delivery, MailTarget, Outcome, Recipient, Routed } from '../../pipeline/contracts.ts'
import { asSmtpError } from '../../pipeline/refusal.ts'
import type { DueRecipient, LastError, RememberedClient } from './contracts.ts'
import { type Loaded, recipientParametersOf, remembered } from './remembered.ts'
import { lastError } from './schedule.ts'

/** What became of one recipient. */
export interface Result {
  readonly row: DueRecipient
  /** Undefined: delivered. */
  readonly failure: LastError | undefined
  readonly remote: string | undefined
  readonly how: string | undefined
  readonly relayed: boolean
}

export interface AttemptParts {
  readonly accounts: Accounts
  /** The target of a key; undefined when the config has none of that name any more. */
  target(key: string): MailTarget | undefined
  readonly log: Log
}

/** Tries once. Never rejects: what throws is a failure that may pass. */
export async function attempt(
  { accounts, target: find, log }: AttemptParts,
  key: string,
  { mail: queued, message }: Loaded,
  rows: readonly DueRecipient[],
): Promise<readonly Result[]> {
  const results = new Map<DueRecipient, Result>()
  const fail = (row: DueRecipient, error: unknown, remote?: string): void => {
    const failure = lastError(asSmtpError(error), remote)
    results.set(row, { row, failure, remote, how: undefined, relayed: false })
  }
  let delivery: Delivery | undefined
  try {
    const target = find(key)
    if (target === undefined)
      throw new SmtpError(451, '4.3.5', `This mail is for '${key}', which this server does not know any more`)
    const { account: id } = JSON.parse(queued.client) as RememberedClient
    const parsed: { readonly row: DueRecipient; readonly recipient: Recipient }[] = []
    for (const row of rows)
      try {
        parsed.push({ row, recipient: recipientOf(row) })
      } catch (error) {
        log.error({ err: error, mail: queued.id }, 'a queued mail cannot be tried')
        fail(row, error)
      }
    const sender = id === undefined ? undefined : await accounts.byId(id)
    const mail = remembered(
      queued,
      parsed.map(({ recipient }) => recipient),
      sender,
      log,
    )
    delivery = target.begin(mail)
    const routed = new Map<Routed, DueRecipient>()
    for (const { row, recipient } of parsed)
      try {
        const one: Routed = { recipient, address: addressOf(row.address), account: await accountOf(accounts, row) }
        await delivery.add(one)
        routed.set(one, row)
      } catch (error) {
        if (!(error instanceof SmtpError)) log.error({ err: error, mail: queued.id }, 'a queued mail cannot be tried')
        fail(row, error)
      }
    if (routed.size === 0) delivery.abort()
    else {
      await delivery.body(message, queued.quarantined)
      for (const outcome of await delivery.commit()) {
        const row = routed.get(outcome.routed)
        if (row !== undefined) results.set(row, resultOf(row, outcome))
      }
    }
  } catch (error) {
    delivery?.abort()
    if (!(error instanceof SmtpError)) log.error({ err: error, mail: queued.id }, 'a queued mail cannot be tried')
    for (const row of rows) if (!results.has(row)) fail(row, error)
  }
  // A target that forgets somebody has not delivered to him.
  for (const row of rows)
    if (!results.has(row)) fail(row, new SmtpError(451, '4.3.0', `'${key}' did not say what became of this mail`))
  return [...results.values()]
}

function resultOf(row: DueRecipient, { failure, remote, how, relayed = false }: Outcome): Result {
  return { row, failure: failure === undefined ? undefined : lastError(failure, remote), remote, how, relayed }
}

const recipientOf = (row: DueRecipient): Recipient => ({
  address: addressOf(row.recipient),
  parameters: recipientParametersOf(row.parameters),
})

function addressOf(text: string) {
  const address = parseMailAddress(text)
  if (address === undefined) throw new Error(`'${text}' in the queue is no address`)
  return address
}

/** The account of a local mailbox. One that is gone will not come back: its id is never used again. */
async function accountOf(accounts: Accounts, { account: id, address }: DueRecipient): Promise<Account | undefined> {
  if (id === '') return undefined
  const account = await accounts.byId(id)
  if (account === undefined) throw new SmtpError(550, '5.1.1', `There is no mailbox ${address} here any more`)
  return account
}
