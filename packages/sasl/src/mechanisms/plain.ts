// RFC 4616: PLAIN

import { type ClientMechanism, type CredentialSource, SaslFailure, type ServerMechanism } from '../contract.ts'
import { EMPTY, serverExchange } from '../exchange.ts'
import { decodeText, prepareName, preparePassword } from '../prepare.ts'
import { type Authorize, authorized } from '../authorization.ts'
import { checkPassword } from './password.ts'

export function plainServer(credentials: CredentialSource, authorize: Authorize | undefined): ServerMechanism {
  return serverExchange('PLAIN', async function* (initial, attempt) {
    const message = initial ?? (yield EMPTY)
    const first = message.indexOf(0)
    const second = first < 0 ? -1 : message.indexOf(0, first + 1)
    if (second < 0) throw new SaslFailure('malformed-request', 'The message needs three fields.')
    const authzid = decodeText(message.subarray(0, first))
    const authcid = prepareName(decodeText(message.subarray(first + 1, second)))
    attempt.authcid = authcid
    await checkPassword(credentials, authcid, decodeText(message.subarray(second + 1)))
    return { identity: await authorized(authcid, authzid, authorize) }
  })
}

/** The password goes over in clear: for encrypted connections only. */
export function plainClient(authcid: string, password: string, authzid: string | undefined): ClientMechanism {
  return {
    name: 'PLAIN',
    async start() {
      return Buffer.from(`${authzid ?? ''}\0${prepareName(authcid)}\0${preparePassword(password)}`)
    },
    async next() {
      throw new SaslFailure('malformed-request', 'The server sent a challenge, which PLAIN has not.')
    },
    async success() {},
  }
}
