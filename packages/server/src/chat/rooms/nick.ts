// RFC 8266 (the Nickname profile) and UTS #39: which nicks are nicks, and which of them look the same.

import { StanzaError } from '@aviso/xmpp'
import { skeleton } from '../features/confusables.ts'

const MAX_NICK = 100

/** A nick as it came in an address (prepared already). @throws StanzaError not-acceptable, jid-malformed */
export function readNick(resource: string): string {
  if (resource === '') throw StanzaError.of('jid-malformed', 'a nick is needed')
  if (Array.from(resource).length > MAX_NICK) throw StanzaError.of('not-acceptable', 'this nick is too long')
  // RFC 8266 §2.1: spaces at the ends and runs of them say nothing, and are only good for deceiving.
  if (resource.trim().replaceAll(/\s+/g, ' ') !== resource || !/[\p{L}\p{N}\p{S}\p{P}]/u.test(resource))
    throw StanzaError.of('not-acceptable', 'nobody could read this nick')
  return resource
}

/** Nicks with the same looks are one: RFC 8266 §2.4 (comparison), and letters that look like others. */
export const looksOf = (nick: string): string =>
  skeleton(nick.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim())
