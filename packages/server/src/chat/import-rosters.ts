// Contacts from elsewhere: for `aviso roster import`.

import { Jid } from '@aviso/xmpp'
import type { AccountAdmin } from '../accounts/administration.ts'
import type { Store } from '../store/contracts.ts'
import { rosterStore } from './core/roster.store.ts'

/** Makes `contact` a contact of `account`, each seeing the other. Rejects with `JidError`, or as `AccountAdmin.showAccount`. Tells how many there were. */
export async function importRosters(
  store: Store,
  accounts: AccountAdmin,
  entries: readonly { readonly account: string; readonly contact: string; readonly name: string }[],
): Promise<number> {
  const byAccount = new Map<string, { contact: string; name: string }[]>()
  for (const { account, contact, name } of entries) {
    const items = byAccount.get(account) ?? []
    items.push({ contact: Jid.parse(contact).bareString, name })
    byAccount.set(account, items)
  }
  let imported = 0
  for (const [address, items] of byAccount) {
    const { id } = await accounts.showAccount(address)
    imported += await store.account(rosterStore, id).import({ items })
  }
  return imported
}
