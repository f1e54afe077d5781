// RFC 4954: logging in at a smart host.

import { clientMechanism, tlsChannelBinding } from '@aviso/sasl'
import type { SmtpClient } from '@aviso/smtp'
import { TLSSocket } from 'node:tls'
import { answer } from '../remote/answers.ts'
import { HopError } from '../remote/link.ts'
import type { DownstreamConfig } from './config.ts'

export type Login = NonNullable<DownstreamConfig['login']>

/**
 * Logs in. `protect`: a password may go over as it is. Rejects with a HopError that says *later*: a password that is wrong here is no reason to
 * give somebody's mail back.
 */
export async function logIn(client: SmtpClient, login: Login, host: string, protect: boolean): Promise<void> {
  const { user, password, mechanisms, certificate } = login
  const { socket } = client
  const mechanism = clientMechanism(client.extensions.get('AUTH') ?? [], {
    ...(user === undefined ? {} : { authcid: user }),
    ...(password === undefined ? {} : { password }),
    ...(mechanisms === undefined ? {} : { mechanisms }),
    external: certificate !== undefined,
    secure: protect,
    channelBinding:
      socket instanceof TLSSocket
        ? tlsChannelBinding(socket, 'client', socket.getPeerX509Certificate()?.raw)
        : undefined,
    host,
  })
  if (mechanism === undefined)
    throw new HopError(answer(451, '4.7.0', `${host} offers no way to log in that can be used with these settings`))
  try {
    await client.authenticate(mechanism)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new HopError(answer(451, '4.7.0', `The login at ${host} fails (${why})`), undefined, '', { cause: error })
  }
}
