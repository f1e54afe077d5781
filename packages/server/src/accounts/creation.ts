// From a wish to an account that is in every room: reserve the address, furnish the rooms, make it visible; or take everything back.

import { preparePassword } from '@aviso/sasl'
import type { Scope } from '../kernel/scope.ts'
import { randomWord } from '../kernel/random.ts'
import type { Calls, Store } from '../store/contracts.ts'
import { parseAccountAddress } from './address.ts'
import type { NewAccountRequest } from './administration.ts'
import type { Form } from './config.ts'
import type { Account } from './contracts.ts'
import { deriveForms, type PasswordSettings } from './credentials.ts'
import { AccountError, accountError } from './errors.ts'
import type { GuestList } from './guests.ts'
import type { HashingQueue } from './hashing.ts'
import type { CredentialTexts, NewAccount } from './operations/accounts.ts'
import type { Roles } from './roles.ts'
import type { AccountRooms } from './rooms.ts'
import type { AccountStore } from './store.ts'

const ID_LETTERS = 16
/** Accounts whose rooms are made side by side: they share the syncs of the store. */
const ROOMS_AT_ONCE = 32
const PASSWORD_CHARACTERS = 1024

export interface CreationHouse {
  readonly scope: Scope
  readonly store: Store
  readonly rows: Calls<AccountStore['operations']>
  readonly rooms: AccountRooms
  readonly roles: Roles
  readonly guests: GuestList
  readonly passwords: PasswordSettings
  /** Administrators' hashes wait as long as they must, apart from the logins. */
  readonly hashing: HashingQueue
}

/** The forms of a new password. Throws `AccountError('invalid')` for one that cannot be used. */
export async function newCredentials(
  house: CreationHouse,
  password: string,
  forms: readonly Form[] = house.passwords.forms,
): Promise<CredentialTexts> {
  const { minimum } = house.passwords
  if ([...password].length < minimum)
    throw new AccountError('invalid', `the password is too short: it needs ${minimum} characters at least`)
  if (password.length > PASSWORD_CHARACTERS)
    throw new AccountError('invalid', `the password is too long: ${PASSWORD_CHARACTERS} characters at most`)
  // SASL carries neither; a password with them could never be used.
  if (password.includes('\0') || !password.isWellFormed())
    throw new AccountError('invalid', 'the password holds characters that cannot be sent: choose another')
  return house.hashing.run(() => deriveForms(forms, preparePassword(password), house.passwords, house.scope.random))
}

/** The account to be, with a fresh id. Throws `AccountError('invalid')`. */
export async function prepareAccount(
  house: CreationHouse,
  request: NewAccountRequest,
  forms?: readonly Form[],
): Promise<NewAccount> {
  const { local, domain, address } = parseAccountAddress(request.address)
  await house.rooms.admit({ local, domain, address, chosen: request.chosen === true })
  const role = request.role ?? 'user'
  mustBeRole(house, role)
  const credentials = await newCredentials(house, request.password, forms)
  return { id: randomWord(house.scope.random, ID_LETTERS), local, domain, role, credentials }
}

/** Throws `AccountError('invalid')` for what no account can have. */
export function mustBeRole({ roles }: CreationHouse, role: string): void {
  if (!roles.assignable.includes(role))
    throw new AccountError(
      'invalid',
      `'${String(role).slice(0, 100)}' is not a role: use ${roles.assignable.join(', ')}`,
    )
}

/** Makes accounts in every room. One answer for each, in order: undefined when it is there, whole; an error when it is not, nowhere. */
export async function makeAccounts(
  house: CreationHouse,
  accounts: readonly NewAccount[],
  by: string,
): Promise<readonly (AccountError | undefined)[]> {
  const refusals = await house.rows.reserve(accounts).catch((error: unknown) => {
    throw accountError(error)
  })
  const answers = refusals.map((refusal) =>
    refusal === undefined ? undefined : new AccountError(refusal.code, refusal.message),
  )
  const furnished: number[] = []
  await sideBySide(accounts.keys(), ROOMS_AT_ONCE, async (index) => {
    const account = accounts[index]
    if (account === undefined || answers[index] !== undefined) return
    try {
      await house.rooms.create(accountToBe(account))
      furnished.push(index)
    } catch (error) {
      answers[index] = await takeBack(house, account, error)
    }
  })
  const ids = furnished.map((index) => accounts[index]?.id ?? '')
  if (ids.length === 0) return answers
  try {
    await house.rows.activate({ ids, by })
  } catch (error) {
    for (const index of furnished) {
      const account = accounts[index]
      if (account !== undefined) answers[index] = await takeBack(house, account, error)
    }
  }
  return answers
}

async function takeBack(house: CreationHouse, account: NewAccount, error: unknown): Promise<AccountError> {
  const address = `${account.local}@${account.domain}`
  const why = error instanceof Error ? error.message : String(error)
  try {
    await eraseAccount(house, accountToBe(account))
  } catch (second) {
    // `recover` tries again at the next start; until then the address stays taken.
    house.scope.log.error({ err: second, account: account.id, address }, 'a half made account could not be taken back')
    return new AccountError(
      'unavailable',
      `the account ${address} could not be created (${why}), and what was made of it could not be removed: restart the server to clean up`,
      { cause: error },
    )
  }
  return new AccountError('unavailable', `the account ${address} could not be created: ${why}; nothing was changed`, {
    cause: error,
  })
}

/** Erases a `creating` or `deleting` account in every room, then its database, then its row. Safe to do again. */
export async function eraseAccount(house: CreationHouse, account: Account): Promise<void> {
  await house.rooms.erase(account)
  await house.store.eraseAccount(account.id)
  await house.rows.bury([account.id])
}

const accountToBe = ({ id, local, domain, role }: NewAccount): Account => ({
  id,
  address: `${local}@${domain}`,
  local,
  domain,
  role,
  disabled: false,
})

/** Runs `work` for every item, at most `most` at a time. `work` does not reject. */
export async function sideBySide<T>(items: Iterable<T>, most: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const lane = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: most }, lane))
}
