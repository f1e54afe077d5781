// XEP-0163: what the server remembers of accounts and of contacts elsewhere; it outlives a generation

import { RecentMap } from '../../accounts/recent.ts'
import { KnownCapabilities, type Wanted } from './interests.ts'

/** Resources of one contact elsewhere that are remembered. */
const MAX_RESOURCES = 50

export class Memory {
  readonly capabilities: KnownCapabilities
  /** What contacts on other servers want: by bare JID, by full JID. */
  readonly remotes: RecentMap<string, Map<string, Wanted>>
  /** Nodes whose last items are sent to who comes, by account. */
  readonly #sent: RecentMap<string, readonly string[]>
  #changes = 0

  constructor(limits: { readonly capabilities: number; readonly remotes: number; readonly accounts: number }) {
    this.capabilities = new KnownCapabilities(limits.capabilities)
    this.remotes = new RecentMap(limits.remotes)
    this.#sent = new RecentMap(limits.accounts)
  }

  /** What a client elsewhere wants; undefined: it is gone. Answers what it wanted before. */
  remote(bare: string, full: string, wanted: Wanted | undefined): Wanted | undefined {
    const resources = this.remotes.get(bare) ?? new Map<string, Wanted>()
    const before = resources.get(full)
    resources.delete(full)
    if (wanted !== undefined) {
      for (const oldest of resources.keys()) {
        if (resources.size < MAX_RESOURCES) break
        resources.delete(oldest)
      }
      resources.set(full, wanted)
    }
    if (resources.size === 0) this.remotes.delete(bare)
    else this.remotes.set(bare, resources)
    return before
  }

  /** The nodes of an account whose last items are sent; `read` where they are not known. */
  async sentNodes(account: string, read: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const known = this.#sent.get(account)
    if (known !== undefined) return known
    const changes = this.#changes
    const found = await read()
    // What was read before a change may be old.
    if (changes === this.#changes) this.#sent.set(account, found)
    return found
  }

  /** The nodes of an account may be others now. */
  changed(account: string): void {
    this.#changes++
    this.#sent.delete(account)
  }
}
