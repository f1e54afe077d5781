// XEP-0484: the programs of an account, and the tokens that stand for its password.

import { createHash } from 'node:crypto'
import { offeredTokenMechanisms, type TokenMechanismName, tokenMechanismName } from '@aviso/sasl'
import type { Scope } from '../kernel/scope.ts'
import type { Calls } from '../store/contracts.ts'
import type { AuthConfig } from './config.ts'
import type { Account, ClientAgent, GivenToken, LoginClients, LoginContext, UsedToken } from './contracts.ts'
import { RecentMap } from './recent.ts'
import { GUEST } from './roles.ts'
import type { AccountStore } from './store.ts'

const TOKEN_OCTETS = 32
const SEEN_AGAIN_AFTER_MS = 3_600_000
const SEEN_REMEMBERED = 10_000

/** Under which a client is kept: its id stays its own secret. */
export const clientKey = (id: string): string => createHash('sha256').update(`client\0${id}`).digest('base64url')

export class Clients implements LoginClients {
  readonly #scope: Scope
  readonly #config: AuthConfig['tokens']
  readonly #rows: Calls<AccountStore['operations']>
  readonly #seen = new RecentMap<string, number>(SEEN_REMEMBERED)

  constructor(scope: Scope, config: AuthConfig['tokens'], rows: Calls<AccountStore['operations']>) {
    this.#scope = scope
    this.#config = config
    this.#rows = rows
  }

  mechanisms({ channelBinding, guests }: LoginContext): readonly TokenMechanismName[] {
    return this.#config.life === 0 || guests !== undefined
      ? []
      : offeredTokenMechanisms(channelBinding?.()?.keys() ?? [])
  }

  seen(account: Account, client: ClientAgent): void {
    // Of guests nothing is remembered.
    if (client.id === undefined || account.role === GUEST) return
    const now = this.#scope.clock.now()
    const key = `${account.id} ${client.id}`
    if (now - (this.#seen.get(key) ?? -Infinity) < SEEN_AGAIN_AFTER_MS) return
    this.#seen.set(key, now)
    this.#rows.seenClient(seenOf(account, client, client.id)).catch((error: unknown) => {
      this.#seen.delete(key)
      this.#scope.log.warn({ err: error, account: account.id }, 'a client could not be written down')
    })
  }

  async give(
    account: Account,
    wish: string | undefined,
    used: UsedToken | undefined,
    context: LoginContext & { readonly began: number },
  ): Promise<GivenToken | undefined> {
    const { client } = context
    const now = this.#scope.clock.now()
    const due = used !== undefined && !used.invalidated && now - used.issued >= this.#config['rotate-after']
    const mechanism = tokenMechanismName(wish ?? (due ? used.mechanism : ''))
    if (client?.id === undefined || mechanism === undefined || !this.mechanisms(context).includes(mechanism))
      return undefined
    const secret = Buffer.from(this.#scope.random.bytes(TOKEN_OCTETS)).toString('base64url')
    const expires = now + this.#config.life
    const { began } = context
    const given = await this.#rows.giveToken({
      ...seenOf(account, client, client.id),
      mechanism,
      secret,
      expires,
      began,
    })
    return given ? { token: secret, expires } : undefined
  }
}

const seenOf = (
  account: Account,
  { software = '', device = '' }: ClientAgent,
  id: string,
): { readonly account: string; readonly client: string; readonly software: string; readonly device: string } => ({
  account: account.id,
  client: clientKey(id),
  software,
  device,
})
