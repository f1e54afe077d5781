// Keys of tables in one spelling, whoever wrote them.

import { normaliseDomain } from '@aviso/mime'
import { canonical } from '../address.ts'

/** An address or a domain as it is compared everywhere; any other text in lower case, composed. */
export function foldKey(key: string): string {
  if (key.includes('@')) return canonical(key) ?? plain(key)
  return key.includes('.') ? (normaliseDomain(key) ?? plain(key)) : plain(key)
}

const plain = (text: string): string => text.toLowerCase().normalize('NFC')
