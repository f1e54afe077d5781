// The operations of the mail store as the rest of the room calls them.

import type { Calls } from '../../store/contracts.ts'
import type { mailStore } from './store.ts'

export type MailCalls = Calls<typeof mailStore.operations>
