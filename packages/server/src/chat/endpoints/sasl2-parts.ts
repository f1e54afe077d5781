// XEP-0480 and XEP-0484: what stands in a login beside the mechanism

import { SaslFailure } from '@aviso/sasl'
import { el, type Element, NS, type Sasl2Task } from '@aviso/xmpp'
import type { FormUpgrade } from '../../accounts/contracts.ts'

/** What the names of upgrades begin with. */
export const UPGRADE = 'UPGR-'

export const isTrue = (value: string | undefined): boolean => value === 'true' || value === '1'

/** The count of `<fast/>`; undefined where the client does not count. Throws a SaslFailure for what is no number. */
export function countOf(fast: Element): number | undefined {
  const count = fast.get('count')
  if (count === undefined) return undefined
  if (!/^\d{1,10}$/.test(count)) throw new SaslFailure('malformed-request', 'The count is not a number.')
  return Number(count)
}

/** XEP-0480 §4: salt and iterations go to the client, the salted password comes back. */
export function upgradeTask(name: string, upgrade: FormUpgrade): Sasl2Task {
  return {
    name,
    async take(element) {
      if (element.name === 'next') {
        const salt = Buffer.from(upgrade.salt).toString('base64')
        return [el('salt', { xmlns: NS.scramUpgrade, iterations: upgrade.iterations }, salt)]
      }
      const hash = element.childText('hash', NS.scramUpgrade)?.trim() ?? ''
      try {
        await upgrade.keep(Buffer.from(hash, 'base64'))
      } catch (error) {
        if (error instanceof RangeError) throw new SaslFailure('malformed-request', error.message, { cause: error })
        throw error
      }
      return undefined
    },
  }
}
