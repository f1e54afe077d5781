// The client's choice of a mechanism, and its making.

import type { Announcement } from './announcement.ts'
import type { ChannelBinding } from './channel-binding.ts'
import { type ClientMechanism, MECHANISMS, type MechanismName } from './contract.ts'
import { anonymousClient } from './mechanisms/anonymous.ts'
import { externalClient } from './mechanisms/external.ts'
import { loginClient } from './mechanisms/login.ts'
import { oauthBearerClient, xoauth2Client } from './mechanisms/oauth.ts'
import { plainClient } from './mechanisms/plain.ts'
import { scramClient } from './mechanisms/scram-client.ts'
import { MOST_ITERATIONS } from './mechanisms/scram-keys.ts'
import { mechanismName, randomNonce, scramHash } from './server.ts'

export interface ClientOptions {
  readonly authcid?: string
  readonly password?: string
  /** Whom to act as, when that is another. */
  readonly authzid?: string
  /** OAuth 2 access token. */
  readonly token?: string
  /** Log in as nobody, where nothing else will do. */
  readonly anonymous?: boolean
  /** Log in by the client certificate of the connection. */
  readonly external?: boolean
  /** The connection is encrypted and the server's certificate was verified: only then passwords and tokens go over in clear. */
  readonly secure: boolean
  readonly channelBinding?: ChannelBinding | undefined
  /** Mechanisms and channel bindings as they were seen; compared with what the server says that it showed, where it does (XEP-0474). */
  readonly announced?: Announcement | undefined
  /** Of the server, for OAUTHBEARER. */
  readonly host?: string
  readonly port?: number
  /** Use only these, in no particular order. Default: all. */
  readonly mechanisms?: readonly MechanismName[]
  /** Default 5 000 000. */
  readonly mostIterations?: number
  /** Printable ASCII without commas, never the same again. Default: 18 random octets in base64. */
  readonly nonce?: () => string
}

/**
 * Begins the strongest exchange that the server offers (names in any case, unknown ones are passed over) and these credentials can do; undefined
 * for none.
 */
export function clientMechanism(serverOffer: readonly string[], options: ClientOptions): ClientMechanism | undefined {
  const offer = new Set(serverOffer.map((name) => mechanismName(name)))
  for (const name of MECHANISMS) {
    if (!offer.has(name) || options.mechanisms?.includes(name) === false) continue
    const mechanism = begin(name, options, offer)
    if (mechanism) return mechanism
  }
  return undefined
}

function begin(
  name: MechanismName,
  options: ClientOptions,
  offer: ReadonlySet<MechanismName | undefined>,
): ClientMechanism | undefined {
  const { authcid, password, authzid, token, secure, channelBinding } = options
  switch (name) {
    case 'EXTERNAL':
      return options.external ? externalClient(authzid) : undefined
    case 'OAUTHBEARER':
      if (token === undefined || !secure) return undefined
      return oauthBearerClient({ token, authzid: authzid ?? authcid, host: options.host, port: options.port })
    case 'XOAUTH2': {
      const user = authzid ?? authcid
      return token !== undefined && user !== undefined && secure ? xoauth2Client(user, token) : undefined
    }
    case 'PLAIN':
      return authcid !== undefined && password !== undefined && secure
        ? plainClient(authcid, password, authzid)
        : undefined
    case 'LOGIN':
      // It cannot carry an authzid.
      return authcid !== undefined && password !== undefined && secure && authzid === undefined
        ? loginClient(authcid, password)
        : undefined
    case 'ANONYMOUS':
      return options.anonymous === true ? anonymousClient() : undefined
    default: {
      if (authcid === undefined || password === undefined) return undefined
      const plus = name.endsWith('-PLUS')
      if (plus && !channelBinding?.types.some((type) => channelBinding.value(type))) return undefined
      // `y` claims that no -PLUS was offered. When one was and is not used, the truth is `n`.
      const plusSeen = [...offer].some((other) => other?.endsWith('-PLUS'))
      return scramClient(name, scramHash(name), {
        authcid,
        password,
        authzid,
        nonce: options.nonce ?? randomNonce,
        channelBinding: plus || !plusSeen ? channelBinding : undefined,
        announced: options.announced,
        mostIterations: options.mostIterations ?? MOST_ITERATIONS,
      })
    }
  }
}
