// What every mail store behind this server promises, as tests: the contract of `backend.ts` and nothing beyond it.

import { type BackendUnderTest, declareTopics, type KitOptions } from './kit.ts'
import { acl } from './topics/acl.ts'
import { changes } from './topics/changes.ts'
import { faults } from './topics/faults.ts'
import { flags } from './topics/flags.ts'
import { keys } from './topics/keys.ts'
import { mailboxes } from './topics/mailboxes.ts'
import { messages } from './topics/messages.ts'
import { meta } from './topics/meta.ts'
import { metadata } from './topics/metadata.ts'
import { quota } from './topics/quota.ts'
import { recent } from './topics/recent.ts'
import { robustness } from './topics/robustness.ts'
import { search } from './topics/search.ts'
import { transfer } from './topics/transfer.ts'

const TOPICS = {
  mailboxes,
  messages,
  flags,
  transfer,
  changes,
  meta,
  keys,
  search,
  recent,
  quota,
  metadata,
  acl,
  robustness,
  faults,
}

/**
 * Declares the tests of the backend contract (node:test) for one store. `factory` makes a fresh user for every test.
 * Optional members of the contract are tested where they are there; `expects` makes their absence a failure.
 */
export function testBackend(
  name: string,
  factory: () => Promise<BackendUnderTest> | BackendUnderTest,
  options: KitOptions = {},
): void {
  declareTopics(name, TOPICS, factory, options)
}
