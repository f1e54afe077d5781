// Accounts that change while they are online: whose sessions may go on, and who is told.

import { StreamError } from '@aviso/xmpp'
import { clientKey } from '../../accounts/clients.ts'
import type { AccountChange, AccountRoom } from '../../accounts/contracts.ts'
import type { Core } from './core.ts'
import type { OnlineAccount } from './directory.ts'
import { farewell } from './roster-requests.ts'
import type { Session } from './session.ts'

const WHY_CLOSED: { readonly [Kind in AccountChange['kind']]?: string } = {
  password: 'your password was changed',
  disabled: 'this account is disabled',
  deleted: 'this account was deleted',
}

/** Closes the sessions of an account that may not go on. */
export function accountChanged(core: Core, change: AccountChange): void {
  const { kind, accountId, address } = change
  if (accountId === undefined) return
  if (kind === 'revoked') return revoked(core, change)
  const why = WHY_CLOSED[kind]
  if (why === undefined) return void refresh(core, address ?? '')
  for (const online of core.directory.accounts) {
    if (online.account.id !== accountId) continue
    closeSessions(core, online, new StreamError('not-authorized', why), (session) => session.stays?.(change) === true)
  }
}

/** XEP-0484: the programs that may not go on; those of the account that are others stay. */
function revoked(core: Core, { address = '', clients = [] }: AccountChange): void {
  const online = core.directory.account(address)
  if (online === undefined) return
  const isOther = ({ userAgent }: Session): boolean =>
    userAgent?.id === undefined || !clients.includes(clientKey(userAgent.id))
  closeSessions(core, online, new StreamError('not-authorized', 'this client was revoked'), isOther)
}

/** The role may have changed. Until it is known again, the account may what it might. */
async function refresh(core: Core, address: string): Promise<void> {
  const online = core.directory.account(address)
  if (online === undefined) return
  try {
    const account = await core.accounts.byId(online.account.id)
    if (account !== undefined) online.account = account
  } catch (error) {
    core.log.error({ err: error, account: address }, 'an account that changed could not be looked up')
    closeSessions(core, online, new StreamError('internal-server-error', 'log in again'))
  }
}

/** Ends the sessions of an account, but for those that may stay. */
export function closeSessions(
  core: Core,
  { sessions }: OnlineAccount,
  error: StreamError,
  stays = (_session: Session): boolean => false,
): void {
  for (const session of sessions) {
    if (stays(session)) continue
    session.wire.close(error)
    core.end(session)
  }
}

/** What accounts must know of chat: a new account needs nothing; the contacts of a deleted one are told (RFC 6121 §2.5.2, for each of them). */
export const chatRoom = (core: Core): AccountRoom => ({
  name: 'chat',
  create: async () => {},
  erase: async (account) => {
    const online = core.directory.account(account.address)
    if (online !== undefined) closeSessions(core, online, new StreamError('not-authorized', WHY_CLOSED.deleted))
    await farewell(core, account)
  },
})
