// What the accounts room is told about whoever logs in.

import type { LoginContext } from '../../accounts/contracts.ts'
import type { Connection } from '../../net/contracts.ts'

/** Asked anew for each login, as TLS may have come meanwhile. */
export function loginContext(
  protocol: string,
  { id, remoteAddress, tls }: Pick<Connection, 'id' | 'remoteAddress' | 'tls'>,
): LoginContext {
  return {
    protocol,
    session: id,
    remoteAddress,
    secure: tls !== undefined,
    channelBinding: () => tls?.channelBinding,
    certificate: () => tls?.clientCertificate,
  }
}
