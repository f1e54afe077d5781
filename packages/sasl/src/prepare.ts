// RFC 4013 (SASLprep) and strict UTF-8: the one spelling of names and passwords.

import { saslprep } from '@mongodb-js/saslprep'
import { SaslFailure } from './contract.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Text of UTF-8 octets. Throws `SaslFailure` malformed-request for what is not UTF-8 or has a NUL. */
export function decodeText(octets: Uint8Array): string {
  let text: string
  try {
    text = utf8.decode(octets)
  } catch {
    throw new SaslFailure('malformed-request', 'The message is not valid UTF-8.')
  }
  if (text.includes('\0')) throw new SaslFailure('malformed-request', 'The message has a NUL where none may be.')
  return text
}

/** SASLprep; undefined when the text is prohibited or nothing is left of it. Characters newer than Unicode 3.2 pass (a "query string"). */
function prepared(text: string): string | undefined {
  // Printable ASCII is its own SASLprep.
  if (/^[\x20-\x7e]+$/.test(text)) return text
  try {
    return saslprep(text, { allowUnassigned: true }) || undefined
  } catch {
    return undefined
  }
}

/**
 * A password as it is hashed and compared: SASLprep, and where that prohibits it (control characters, mixed directions) Unicode NFC, so that no
 * password a client accepted locks its owner out. Use it both when a password is set and when it is checked.
 */
export function preparePassword(password: string): string {
  return prepared(password) ?? password.normalize('NFC')
}

/** A user name or authorization identity in SASLprep. Throws `SaslFailure` malformed-request when it is empty or prohibited. */
export function prepareName(name: string): string {
  const result = name.length > 1024 ? undefined : prepared(name)
  if (result === undefined)
    throw new SaslFailure('malformed-request', 'The user name has characters that are not allowed.')
  return result
}
