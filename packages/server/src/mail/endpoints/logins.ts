// Who is logged in where: a session ends when its account's password changes, or when the account is disabled or erased.

import { Accounts } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'

/** The sessions of one endpoint by the account that logged in. */
export class Logins {
  readonly #sessions = new Map<string, Set<() => void>>()

  /** Follows the accounts until `scope` closes. */
  constructor(scope: Scope) {
    scope.defer(
      scope.use(Accounts).watch(({ kind, accountId }) => {
        if (accountId === undefined || !['password', 'disabled', 'deleted'].includes(kind)) return
        for (const end of this.#sessions.get(accountId) ?? []) end()
      }),
    )
  }

  /** Calls `end` when the session's login holds no more. Returns the way to leave. */
  enter(accountId: string, end: () => void): () => void {
    const own = (): void => end()
    const sessions = this.#sessions.get(accountId) ?? new Set()
    this.#sessions.set(accountId, sessions.add(own))
    return () => {
      sessions.delete(own)
      if (sessions.size === 0 && this.#sessions.get(accountId) === sessions) this.#sessions.delete(accountId)
    }
  }
}
