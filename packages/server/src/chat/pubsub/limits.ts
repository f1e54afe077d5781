// XEP-0060: how much there may be at a place, as an administrator says it

import * as v from 'valibot'
import { size } from '../../kernel/units.ts'
import type { PlaceLimits } from './place.ts'

/** Characters of payload that are sent at once. */
const PAGE_OCTETS = 256 * 1024

const count = v.pipe(v.number(), v.integer(), v.minValue(1))
export const most = (usual: number, what: string) => v.optional(v.pipe(count, v.description(what)), usual)

/** The usual values that differ, and in what words the two are described that speak of the place. */
interface Usual {
  readonly nodes: number
  readonly nodesOf: string
  readonly octets: string
  readonly octetsOf: string
  readonly members: number
}

/** The settings that all places have. */
export const limitSettings = ({ nodes, nodesOf, octets, octetsOf, members }: Usual) => ({
  'max-nodes': most(nodes, nodesOf),
  'max-items': most(1000, 'how many items are kept of a node that wants as many as possible'),
  'max-item-octets': v.pipe(size('256KiB'), v.description('how big one item may be')),
  'max-octets': v.pipe(size(octets), v.description(octetsOf)),
  'max-subscriptions': most(members, 'how many subscriptions, and how many affiliations, one node may have'),
  page: most(250, 'how many items are sent at once'),
})

type LimitSettings = { readonly [Name in keyof ReturnType<typeof limitSettings>]: number }

export const placeLimits = (settings: LimitSettings): PlaceLimits => ({
  nodes: settings['max-nodes'],
  members: settings['max-subscriptions'],
  maxItems: settings['max-items'],
  maxPayload: settings['max-item-octets'],
  octets: settings['max-octets'],
  page: settings.page,
  pageOctets: PAGE_OCTETS,
})
