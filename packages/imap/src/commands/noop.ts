// RFC 9051 §6.1.2 NOOP; RFC 3501 §6.4.1 CHECK: the news of the mailbox are told with every command.

import { defineCommand } from '../server/command.ts'

export const noop = defineCommand({ name: 'NOOP', state: 'any', execute: async () => undefined })

export const check = defineCommand({ name: 'CHECK', state: 'selected', execute: async () => undefined })
