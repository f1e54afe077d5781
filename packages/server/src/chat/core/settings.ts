// What the config says of the core: the limits of all domains, and what one domain may set for itself.

import * as v from 'valibot'
import type { GuestTerms } from '../../accounts/contracts.ts'
import { size } from '../../kernel/units.ts'

const count = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected at least 1'))

const sessionsPerAccount = v.pipe(count, v.description('how many clients one account may have connected at once'))
const resourceConflict = v.pipe(
  v.picklist(['close-older', 'refuse-newer', 'another-resource']),
  v.description(
    'what becomes of a client that asks for a resource which another one of the account has: it takes its place, is refused, or gets another resource',
  ),
)
const presenceOctets = v.pipe(
  size(),
  v.description(
    'how large a presence a client may broadcast, in characters: it goes to all contacts, and to each of them at every login',
  ),
)
const rosterItems = v.pipe(count, v.description('how many contacts one account may have'))
const rosterGroups = v.pipe(count, v.description('how many groups one contact may be in'))

/** The limits of all domains: a part of the `chat` config. */
export const coreConfig = v.strictObject({
  'sessions-per-account': v.optional(sessionsPerAccount, 50),
  'resource-conflict': v.optional(resourceConflict, 'close-older'),
  'presence-octets': v.optional(presenceOctets, '16KiB'),
  'roster-items': v.optional(rosterItems, 5000),
  'roster-groups': v.optional(rosterGroups, 50),
})
/** What the accounts of a domain may have. */
export type HostLimits = v.InferOutput<typeof coreConfig>

/** What one domain may set for itself. */
export const hostConfig = v.strictObject({
  enabled: v.optional(
    v.pipe(
      v.boolean(),
      v.description(
        'false: the accounts of this domain have no chat here; who writes to them is sent to the server that the DNS names',
      ),
    ),
    true,
  ),
  guests: v.optional(
    v.pipe(
      v.boolean(),
      v.description(
        'true: the domain is for people without an account (XEP-0175). Each gets an address for as long as he is there; nobody logs in here with a password',
      ),
    ),
    false,
  ),
  'max-guests': v.optional(v.pipe(count, v.description('how many guests there may be at a time')), 1000),
  'guests-per-address': v.optional(
    v.pipe(count, v.description('the same from one network address, in all domains')),
    10,
  ),
  'sessions-per-account': v.optional(sessionsPerAccount),
  'resource-conflict': v.optional(resourceConflict),
  'presence-octets': v.optional(presenceOctets),
  'roster-items': v.optional(rosterItems),
  'roster-groups': v.optional(rosterGroups),
})

/** The settings of one domain. */
export interface HostSettings {
  readonly enabled: boolean
  /** Set where the domain is for guests, and for nobody else. */
  readonly guests?: GuestTerms | undefined
  readonly limits: HostLimits
}

/** The limits of one domain: its own, and of all where it has none. */
export const limitsOf = (
  own: { readonly [Name in keyof HostLimits]?: HostLimits[Name] | undefined },
  all: HostLimits,
): HostLimits => ({
  'sessions-per-account': own['sessions-per-account'] ?? all['sessions-per-account'],
  'resource-conflict': own['resource-conflict'] ?? all['resource-conflict'],
  'presence-octets': own['presence-octets'] ?? all['presence-octets'],
  'roster-items': own['roster-items'] ?? all['roster-items'],
  'roster-groups': own['roster-groups'] ?? all['roster-groups'],
})
