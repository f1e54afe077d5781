// The trace fields that we put on top: Received (RFC 5321 §4.4) and Authentication-Results (RFC 8601).

import type { Headers } from '@aviso/mime'
import { receivedField, transmissionType } from '@aviso/smtp'
import { authservId } from '../authentication/results.ts'
import type { HeaderEdit, Mail } from './contracts.ts'

/** Protocols that a mail comes by over a socket, which may be a unix one, without an address; all other mail is the server's own. */
const TRANSMITTED: ReadonlySet<string> = new Set(['smtp', 'submission', 'lmtp'])

/** The Received field without its line end. Where a user's device is, is nobody's business. */
export function received(mail: Mail, hostname: string): string {
  const { client, parameters } = mail
  const transmitted = TRANSMITTED.has(client.protocol)
  const field = receivedField({
    ...(client.account === undefined && transmitted
      ? { from: { hello: client.hello, ...(client.remoteAddress === '' ? {} : { address: client.remoteAddress }) } }
      : {}),
    by: hostname,
    with: transmitted
      ? transmissionType({
          kind: client.protocol === 'lmtp' ? 'lmtp' : 'smtp',
          extended: client.extended,
          secure: client.tls !== undefined,
          authenticated: client.account !== undefined,
          smtpUtf8: parameters.smtpUtf8,
        })
      : client.protocol,
    id: mail.id,
    recipients: mail.recipients.map(({ address }) => address.toString()),
    ...(client.tls === undefined ? {} : { tls: client.tls.cipher }),
    ...(parameters.priority === undefined ? {} : { priority: parameters.priority }),
    date: new Date(mail.received),
  })
  return field.slice(0, -2)
}

/** The one Authentication-Results field, without its line end; undefined when no check has a result. Each result on a line of its own. */
export function authenticationResults(hostname: string, results: readonly string[]): string | undefined {
  if (results.length === 0) return undefined
  return `Authentication-Results: ${hostname};\r\n\t${results.join(';\r\n\t')}`
}

/**
 * RFC 8601 §5: takes out Authentication-Results that claim to be ours but came with the mail, so that filters believe only what was found out here. Others are
 * not ours to judge.
 */
export function forgedResults(header: Headers, hostname: string): HeaderEdit['change'] {
  const ours = hostname.toLowerCase()
  return header
    .all('Authentication-Results')
    .map((value, i) => ({
      name: 'Authentication-Results',
      index: i + 1,
      value: null,
      forged: authservId(value) === ours,
    }))
    .filter(({ forged }) => forged)
}
