// RFC 6376 §3.6, RFC 8463: making DKIM keys, and the records that publish them.

import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { Algorithm } from '../authentication/dkim/signature.ts'

/** What the config and the command line call the kinds of keys. */
export type KeyKind = 'rsa2048' | 'rsa4096' | 'ed25519'

export const algorithmOf = (kind: KeyKind): Algorithm => (kind === 'ed25519' ? 'ed25519-sha256' : 'rsa-sha256')

const generate = promisify(generateKeyPair)

/** A new private key as PKCS #8 in PEM. Made in a thread: RSA takes a tenth of a second and more. */
export async function newPrivateKey(kind: KeyKind): Promise<string> {
  const { privateKey } =
    kind === 'ed25519'
      ? await generate('ed25519')
      : await generate('rsa', { modulusLength: kind === 'rsa2048' ? 2048 : 4096 })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** A private key in PEM (PKCS #8 or #1) that can sign. Throws RangeError, in words for people, for any other. */
export function readPrivateKey(pem: string): {
  readonly key: KeyObject
  readonly algorithm: Algorithm
  readonly kind: KeyKind
} {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    throw new RangeError('this is no private key in PEM without a passphrase', { cause: error })
  }
  if (key.asymmetricKeyType === 'ed25519') return { key, algorithm: 'ed25519-sha256', kind: 'ed25519' }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  // RFC 8301 §3.2.
  if (key.asymmetricKeyType !== 'rsa' || bits < 1024)
    throw new RangeError('DKIM signs with RSA keys of 1024 bits and more, and with Ed25519 keys')
  return { key, algorithm: 'rsa-sha256', kind: bits > 3072 ? 'rsa4096' : 'rsa2048' }
}

/** The text of the TXT record that publishes a key. */
export function publicRecord(privateKey: KeyObject): string {
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return privateKey.asymmetricKeyType === 'ed25519'
    ? `v=DKIM1; k=ed25519; p=${der.subarray(-32).toString('base64')}`
    : `v=DKIM1; k=rsa; p=${der.toString('base64')}`
}

/** A TXT record in strings of at most 255 octets, as a zone file has them. */
export const zoneStrings = (text: string): string =>
  (text.match(/[\s\S]{1,255}/g) ?? ['']).map((piece) => `"${piece.replace(/["\\]/g, '\\$&')}"`).join(' ')
