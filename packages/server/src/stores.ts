// Every store of the house: what the store workers load. A room's store file imports nothing heavy, so that a worker stays small.

import type { StoreDefinition } from './store/contracts.ts'

export const stores: readonly StoreDefinition[] = []
