// Keys for tests: made once a run, as RSA takes its time.

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { SigningKey } from '../../../src/mail/authentication/dkim/sign.ts'
import { publicRecord } from '../../../src/mail/keys/generate.ts'
import type { Zones } from '../../../src/net/dns/testing/index.ts'

export const RSA: KeyObject = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
export const ED25519: KeyObject = generateKeyPairSync('ed25519').privateKey

export const rsaKey = (domain: string, selector = 'r'): SigningKey => ({
  domain,
  selector,
  algorithm: 'rsa-sha256',
  key: RSA,
})
export const edKey = (domain: string, selector = 'e'): SigningKey => ({
  domain,
  selector,
  algorithm: 'ed25519-sha256',
  key: ED25519,
})

/** Zones that publish these keys. */
export const publishing = (...keys: readonly SigningKey[]): Zones =>
  Object.fromEntries(
    keys.map(({ domain, selector, key }) => [`${selector}._domainkey.${domain}`, { TXT: [publicRecord(key)] }]),
  )
