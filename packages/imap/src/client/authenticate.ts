// RFC 9051 §6.2.2, §6.2.3, RFC 4959: proving who we are.

import { type ClientMechanism, clientMechanism, tlsChannelBinding } from '@aviso/sasl'
import { TLSSocket } from 'node:tls'
import type { SessionCore } from './core.ts'
import { ImapClientError } from './errors.ts'
import type { ClientCredentials, ClientOptions } from './options.ts'
import type { Request } from './request.ts'

/**
 * Logs in with the strongest mechanism both ends know, else with LOGIN. Rejects with `ImapClientError` (`code` tells why: AUTHENTICATIONFAILED,
 * UNAVAILABLE, ...), or `SaslFailure` when the server cannot prove itself. `secure`: passwords may go over in clear.
 */
export async function logIn(
  core: SessionCore,
  auth: ClientCredentials,
  options: ClientOptions,
  secure: boolean,
): Promise<void> {
  const { user, password, token, authzid, mechanisms } = auth
  const { socket } = core.connection
  const mechanism = clientMechanism(core.capabilities.values('AUTH'), {
    authcid: user,
    secure,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
    ...(authzid === undefined ? {} : { authzid }),
    ...(mechanisms === undefined ? {} : { mechanisms }),
    ...(socket instanceof TLSSocket
      ? { channelBinding: tlsChannelBinding(socket, 'client', certificate(socket)) }
      : {}),
  })
  if (mechanism !== undefined) return authenticate(core, mechanism, options.signal)
  if (password === undefined || authzid !== undefined || mechanisms?.includes('LOGIN') === false) {
    throw new ImapClientError('UNSUPPORTED', 'The server offers no way to log in with these credentials')
  }
  if (core.has('LOGINDISABLED') || !secure) {
    throw new ImapClientError(
      'UNSUPPORTED',
      secure
        ? 'The server does not allow LOGIN here'
        : 'A password is not sent without TLS, and the server offers nothing better',
    )
  }
  await core.run(
    { name: 'LOGIN', parts: ['LOGIN ', core.string(user), ' ', core.string(password)], alone: true },
    options.signal,
  )
}

const certificate = (socket: TLSSocket): Uint8Array | undefined => {
  const raw = socket.getPeerCertificate().raw as Buffer | undefined
  return raw
}

/** True when what is sent is seen by nobody but the server that we mean. */
export function isPrivate(socket: unknown): boolean {
  return socket instanceof TLSSocket && socket.authorized
}

async function authenticate(
  core: SessionCore,
  mechanism: ClientMechanism,
  signal: AbortSignal | undefined,
): Promise<void> {
  let pending = await mechanism.start()
  let failure: { readonly cause: unknown } | undefined
  let over = false
  let line = `AUTHENTICATE ${mechanism.name}`
  if (pending !== undefined && core.has('SASL-IR')) {
    line += ` ${pending.length === 0 ? '=' : base64(pending)}`
    pending = undefined
  }
  const respond = async (challenge: string): Promise<void> => {
    let answer: string
    try {
      const response = pending ?? (await mechanism.next(Buffer.from(challenge.trim(), 'base64')))
      pending = undefined
      answer = base64(response)
    } catch (cause) {
      failure = { cause }
      answer = '*'
    }
    // What comes after the end would be read as a command.
    if (!over) core.connection.write(`${answer}\r\n`)
  }
  const request: Request = {
    name: 'AUTHENTICATE',
    parts: [line],
    alone: true,
    continued: (challenge) => void respond(challenge),
    ended: () => (over = true),
  }
  try {
    await core.run(request, signal)
  } catch (error) {
    // The server's answer to our giving up says less than why we did.
    throw failure === undefined ? error : failure.cause
  }
  await mechanism.success()
}

const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')
