// Remote delivery, put together: what the config says, what the house provides.

import type { Scope } from '../../../kernel/scope.ts'
import { AddressSet } from '../../../net/addresses.ts'
import { sourceFor } from '../../../net/dns/addresses.ts'
import type { Resolver } from '../../../net/dns/contracts.ts'
import { dnsName } from '../../../net/dns/names.ts'
import type { Store } from '../../../store/contracts.ts'
import type { MailTarget } from '../../pipeline/contracts.ts'
import { clientContext, poolOf, type RemoteConfig, ruleFinder, timeoutsOf } from './config.ts'
import type { Courier } from './contracts.ts'
import { RemoteCourier } from './courier.ts'
import { noSts, PersistentSts } from './mta-sts-cache.ts'
import { type FetchSts, httpsFetch } from './mta-sts-fetch.ts'
import { REMOTE, remoteStore } from './store.ts'
import { CourierTarget } from './target.ts'
import { openTlsResults, type TlsResults } from './tls-results.ts'

/** What remote delivery stands on. */
export interface RemoteGround {
  readonly config: RemoteConfig
  /** Our own name. */
  readonly hostname: string
  readonly resolver: Resolver
  readonly store: Store
  /** How MTA-STS policies are fetched; by HTTPS, if not given. */
  readonly fetch?: FetchSts
}

/** Remote delivery that is open. */
export interface Remote {
  readonly courier: Courier
  /** The courier as pipeline and queue meet it. */
  readonly target: MailTarget
  /** How TLS went, for the reports of RFC 8460. */
  readonly results: TlsResults
}

/** Opens remote delivery until `scope` closes. Throws StartError for a trust store that cannot be used. */
export function openRemote(scope: Scope, { config, hostname, resolver, store, fetch }: RemoteGround): Remote {
  const calls = store.service(remoteStore, REMOTE)
  const secureContext = clientContext(config['trust-store'])
  const results = openTlsResults(scope, calls)
  const name = dnsName(hostname) ?? hostname
  const sts = config['mta-sts']
    ? new PersistentSts(scope, {
        resolver,
        store: calls,
        fetch: fetch ?? httpsFetch({ resolver, trust: secureContext }),
      })
    : noSts
  const courier = new RemoteCourier(
    scope,
    {
      hostname: name,
      rule: ruleFinder(config),
      families: config.families,
      dane: config.dane,
      relaxedRequireTls: config['require-tls'] === 'relaxed',
      heedTlsOptional: config['tls-required-no'],
      addressLiterals: config['address-literals'],
      own: new AddressSet(config['own-addresses']),
      ignored: new AddressSet(config['ignored-addresses']),
      pool: poolOf(config),
    },
    {
      resolver,
      sts,
      results,
      tools: {
        hostname: name,
        clock: scope.clock,
        timeouts: timeoutsOf(config),
        secureContext,
        source: (address) => sourceFor(address, config.source),
      },
    },
  )
  const target = new CourierTarget({ courier, together: false, quarantined: false, scope })
  return { courier, target, results }
}
