// XEP-0060: what publish-subscribe keeps. Every right is looked at inside the transaction that uses it, so that no change of a node can race past a request. Store workers import this file: it must stay light.

import { type Calls, defineStore } from '../../store/contracts.ts'
import { itemOperations } from './item-operations.ts'
import { memberOperations } from './member-operations.ts'
import { nodeOperations } from './node-operations.ts'
import { TABLES } from './rows.ts'

const operations = { ...nodeOperations, ...itemOperations, ...memberOperations }

/** The nodes of accounts: personal events. */
export const personalNodesStore = defineStore({ name: 'pubsub', scale: 'account', migrations: [TABLES], operations })

/** The nodes of services. */
export const serviceNodesStore = defineStore({
  name: 'pubsub_service',
  scale: 'service',
  migrations: [TABLES],
  operations,
})

/** The nodes of one account or service. */
export type Nodes = Calls<typeof operations>
