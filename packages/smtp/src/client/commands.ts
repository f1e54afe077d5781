// RFC 5321 §4.1.2: MAIL and RCPT as they are sent, with the parameters that the server offered.

import { parseMailbox } from '../path.ts'
import { encodeUtf8AddressXtext, encodeXtext } from '../xtext.ts'
import type { OutgoingEnvelope, OutgoingRecipient } from './contracts.ts'
import type { Offer } from './offer.ts'
import type { Adapted } from './adapt.ts'

/** The MAIL command, with its CRLF. Throws RangeError for an address that would break out of it. */
export function mailCommand(
  envelope: OutgoingEnvelope,
  { reversePath, body, smtpUtf8, source }: Adapted,
  offer: Offer,
) {
  let command = `MAIL FROM:<${reversePath === null ? '' : safe(reversePath)}>`
  if (offer.has('SIZE')) command += ` SIZE=${source.size}`
  if (body === 'BINARYMIME' || (body === '8BITMIME' && offer.has('8BITMIME'))) command += ` BODY=${body}`
  if (smtpUtf8) command += ' SMTPUTF8'
  if (envelope.requireTls === true) command += ' REQUIRETLS'
  if (offer.has('DSN')) {
    if (envelope.ret !== undefined) command += ` RET=${envelope.ret}`
    if (envelope.envid !== undefined) command += ` ENVID=${encodeXtext(envelope.envid)}`
  }
  if (envelope.auth !== undefined && offer.has('AUTH'))
    command += ` AUTH=${envelope.auth === '<>' ? '<>' : encodeXtext(envelope.auth)}`
  if (envelope.deliverBy !== undefined && offer.has('DELIVERBY')) {
    const { seconds, late, trace } = envelope.deliverBy
    command += ` BY=${whole(seconds, 999_999_999)};${late === 'return' ? 'R' : 'N'}${trace ? 'T' : ''}`
  }
  if (envelope.priority !== undefined && offer.has('MT-PRIORITY'))
    command += ` MT-PRIORITY=${whole(envelope.priority, 9)}`
  if (envelope.holdUntil !== undefined) command += ` HOLDUNTIL=${envelope.holdUntil.toISOString().replace(/\.\d+/, '')}`
  return command + '\r\n'
}

/** The RCPT command, with its CRLF; `address` as this server gets it. Throws as `mailCommand`. */
export function rcptCommand({ notify, originalRecipient }: OutgoingRecipient, address: string, offer: Offer): string {
  let command = `RCPT TO:<${safe(address)}>`
  const dsn = offer.has('DSN')
  if (dsn && notify !== undefined && notify.length > 0) command += ` NOTIFY=${notify.join(',')}`
  if (dsn && originalRecipient !== undefined) {
    const { type, address: original } = originalRecipient
    command += ` ORCPT=${safe(type)};${type.toLowerCase() === 'utf-8' ? encodeUtf8AddressXtext(original) : encodeXtext(original)}`
  }
  return command + '\r\n'
}

/** An address cannot hold a line break or close its bracket early, unless somebody wants to send a command of his own. */
function safe(address: string): string {
  const broken = address.startsWith('"') ? parseMailbox(address) === undefined : /[<> ]/.test(address)
  if (broken || /\p{Cc}/u.test(address)) throw new RangeError('this address would break out of its command')
  return address
}

/** A whole number no farther from zero than `most`. */
function whole(value: number, most: number): number {
  const cut = Math.min(most, Math.max(-most, Math.trunc(value)))
  return Number.isNaN(cut) ? 0 : cut
}
