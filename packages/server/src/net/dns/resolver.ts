// The resolver of the house.

import type { Scope } from '../../kernel/scope.ts'
import type { Resolver } from './contracts.ts'
import { type DnsConfig, openServers } from './servers.ts'
import { StubResolver } from './stub.ts'

/** Makes the resolver that everybody in `scope` asks. Opens nothing until it is asked. */
export async function openResolver(scope: Scope, config: DnsConfig): Promise<Resolver> {
  const inner = scope.child('dns')
  const servers = await openServers(inner, config)
  if (servers.current().every(({ trusted }) => !trusted))
    inner.log.info(
      { servers: servers.current().map(({ host }) => host) },
      'no DNS server is trusted to validate DNSSEC: DANE has no effect. One on this machine is, or set network.dns.trusted',
    )
  return new StubResolver(inner, servers, config)
}
