// One message over one connection: the envelope as the server can take it, and what it answered for each recipient.

import {
  type OutgoingEnvelope,
  type RecipientResult as ClientResult,
  type SmtpClient,
  SmtpConnectionError,
} from '@aviso/smtp'
import { answer, answerOf } from './answers.ts'
import type { Answer, Parcel, ParcelRecipient, RecipientResult } from './contracts.ts'
import type { Link } from './link.ts'
import type { Demands } from './policy.ts'

/** The connection ended before the server could have taken the message: it may be sent to another one. */
export class NothingSent extends Error {}

/** How a link is told in log and trace: `TLSv1.3, dane`. */
export function howOf({ protocol, tls }: Link): string {
  if (protocol === undefined) return 'not encrypted'
  const by = tls.daneMatched === true ? 'dane' : tls.level === 'authenticated' ? 'certificate' : 'not authenticated'
  return `${protocol}, ${by}`
}

/**
 * Sends a parcel. Every recipient gets its result, in the order of the parcel. Rejects with NothingSent when the connection ended before the end of the data,
 * with RangeError for an address that would break out of its command.
 */
export async function transfer(link: Link, parcel: Parcel, demands: Demands): Promise<readonly RecipientResult[]> {
  const about = { remote: link.hop.host, mx: demands.mx, tls: link.tls.level, how: howOf(link) }
  const relays = link.client.extensions.has('DSN')
  const one = (recipient: ParcelRecipient, said: Answer, ambiguous: boolean): RecipientResult => ({
    address: recipient.address,
    answer: said,
    ...about,
    relayed: relays && said.code < 300,
    ambiguous,
  })
  try {
    const results = await link.client.send(envelopeOf(parcel, demands, link.client), parcel.message)
    return parcel.recipients.map((recipient, i) => one(recipient, resultOf(results[i], link.hop.host), false))
  } catch (error) {
    if (!(error instanceof SmtpConnectionError)) throw error
    if (!error.afterData) throw new NothingSent(error.message, { cause: error })
    // RFC 1047: it may have been taken. To lose it would be worse than to send it twice.
    const said = answer(451, '4.4.2', `The connection with ${link.hop.host} broke off before it confirmed the message`)
    return parcel.recipients.map((recipient) => one(recipient, said, true))
  }
}

function envelopeOf(parcel: Parcel, demands: Demands, client: SmtpClient): OutgoingEnvelope {
  const { sender, recipients, smtpUtf8, ret, envid, body, deliverBy, priority } = parcel
  return {
    reversePath: sender,
    recipients,
    smtpUtf8,
    // Asked for where it is offered; whether the message may go where it is not was decided before.
    requireTls: demands.requireTls && client.extensions.has('REQUIRETLS'),
    ret,
    envid,
    body,
    deliverBy,
    priority,
  }
}

function resultOf(result: ClientResult | undefined, host: string): Answer {
  if (result === undefined) return answer(451, '4.5.0', `${host} gave no answer for this recipient`)
  const said = answerOf(result.reply)
  if (result.accepted) return said
  // RFC 5321 §4.5.3.1.10: 552 was once the code for too many recipients. A full mailbox says so in its enhanced code.
  if (result.stage === 'rcpt' && said.code === 552 && !said.enhanced.startsWith('5.2.'))
    return { code: 452, enhanced: '4.5.3', text: said.text }
  return said
}
