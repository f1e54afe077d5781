// XEP-0480: a form of the password that the account lacks, made by a client that has just logged in.

import { scramKeys } from '@aviso/sasl'
import type { Scope } from '../kernel/scope.ts'
import type { Calls } from '../store/contracts.ts'
import { type AuthConfig, FORMS } from './config.ts'
import type { Account, FormUpgrade, LoginUpgrades } from './contracts.ts'
import { formatScram, HASHES, type ScramForm } from './credentials.ts'
import type { AccountStore } from './store.ts'

/** SCRAM-SHA-1 is the weakest: nothing is upgraded to it. */
const UPGRADES: readonly ScramForm[] = ['SCRAM-SHA-256', 'SCRAM-SHA-512']

export class Upgrades implements LoginUpgrades {
  readonly #scope: Scope
  readonly #config: AuthConfig['passwords']
  readonly #rows: Calls<AccountStore['operations']>
  readonly offered: readonly ScramForm[]

  constructor(scope: Scope, config: AuthConfig['passwords'], rows: Calls<AccountStore['operations']>) {
    this.#scope = scope
    this.#config = config
    this.#rows = rows
    this.offered = UPGRADES.filter((form) => config.forms.includes(form))
  }

  async begin(account: Account, name: string, began: number): Promise<FormUpgrade | undefined> {
    const form = this.offered.find((offered) => offered === name)
    const found = form && (await this.#rows.login(account.address))
    // Who logged in before the password was changed knows another one.
    if (
      form === undefined ||
      found === undefined ||
      found.account.updated > began ||
      found.credentials[form] !== undefined
    )
      return undefined
    const proof = FORMS.find((known) => found.credentials[known] !== undefined)
    const secret = proof && found.credentials[proof]
    if (proof === undefined || secret === undefined) return undefined
    const salt = this.#scope.random.bytes(16)
    const { iterations } = this.#config
    return {
      salt,
      iterations,
      keep: async (salted) => {
        const keys = { salt, iterations, ...scramKeys(HASHES[form], salted) }
        const add = { [form]: formatScram(form, keys) }
        await this.#rows.upgradeCredentials({ id: account.id, proof: { form: proof, secret }, add, remove: [] })
      },
    }
  }
}
