// XEP-0049: private XML that is kept elsewhere, in another form

import type { Element } from '@aviso/xmpp'
import type { Account } from '../../accounts/contracts.ts'
import { serviceKey } from '../../kernel/scope.ts'

/** Offered by features: an element of private XML that is another way to see and to write what they keep. */
export interface PrivateTranslation {
  readonly xmlns: string
  readonly name: string
  /** Undefined where there is nothing. */
  get(account: Account): Promise<Element | undefined>
  set(account: Account, element: Element): Promise<void>
}

export const PrivateTranslation = serviceKey<PrivateTranslation>('private-translation')
