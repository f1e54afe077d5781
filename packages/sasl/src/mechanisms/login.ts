// LOGIN (draft-murchison-sasl-login): obsolete, but the only one that some mail clients have.

import { type ClientMechanism, type CredentialSource, SaslFailure, type ServerMechanism } from '../contract.ts'
import { serverExchange } from '../exchange.ts'
import { decodeText, prepareName, preparePassword } from '../prepare.ts'
import { checkPassword } from './password.ts'

// The exact words: some clients compare them.
const USERNAME = Buffer.from('Username:')
const PASSWORD = Buffer.from('Password:')

export function loginServer(credentials: CredentialSource): ServerMechanism {
  return serverExchange('LOGIN', async function* (initial, attempt) {
    const authcid = prepareName(decodeText(initial ?? (yield USERNAME)))
    attempt.authcid = authcid
    await checkPassword(credentials, authcid, decodeText(yield PASSWORD))
    return { identity: { authcid, authzid: undefined } }
  })
}

/** The password goes over in clear: for encrypted connections only. */
export function loginClient(authcid: string, password: string): ClientMechanism {
  const answers = [prepareName(authcid), preparePassword(password)]
  return {
    name: 'LOGIN',
    async start() {
      return undefined
    },
    async next() {
      // What the challenges say differs between servers: only their order counts.
      const answer = answers.shift()
      if (answer === undefined)
        throw new SaslFailure('malformed-request', 'The server asks for more than name and password.')
      return Buffer.from(answer)
    },
    async success() {},
  }
}
