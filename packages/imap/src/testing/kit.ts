// The frame of the conformance kit: what a store hands in, and how its stories run.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BackendError, type MailAccount } from '../backend.ts'

/** One user whose mail is empty (INBOX exists; other mailboxes may). */
export interface BackendUnderTest {
  /** Opens the account as one more session does. */
  open(): Promise<MailAccount>
  /** Another user, with mail of their own, whom mailboxes can be shared with by their `name`. Absent: sharing is not tested. */
  openOther?(): Promise<MailAccount>
  /** Ends the store and starts it again on what it wrote, as a restart does. Accounts opened before are dead, `open` answers new ones. Absent: the store does not outlive its process. */
  reopen?(): Promise<void>
  /**
   * From the `n`th write to the disk on (1: the next), that one alone (`once`) or all (`dead`: the process was killed there) fail.
   * The answer ends that and tells whether it came to pass. Absent: nothing is injected.
   */
  fault?(n: number, kind: 'once' | 'dead'): () => boolean
  /** Sets the limit of STORAGE, in units of 1024 octets. Absent: running out of quota is not tested. */
  limitStorage?(limit: number): Promise<void>
  /** Frees everything. Called once, after the accounts were closed. */
  close?(): Promise<void> | void
}

/** Optional members of the contract that a store declares to have. Others are tested too where they are found. */
export type Optional = 'quota' | 'metadata' | 'acl' | 'find'

/** What a store has to be able to do. */
export interface KitOptions {
  readonly expects?: readonly Optional[]
}

export type Story = (account: MailAccount, under: BackendUnderTest) => Promise<void>

/** What a topic declares its tests with. */
export interface Kit {
  readonly expects: ReadonlySet<Optional>
  /** A test with a fresh user. */
  story(title: string, body: Story): void
}

/** A topic of the contract: declares its stories. */
export type Topic = (kit: Kit) => void

/** Declares the stories of all topics (node:test) for one store. */
export function declareTopics(
  name: string,
  topics: Readonly<Record<string, Topic>>,
  factory: () => Promise<BackendUnderTest> | BackendUnderTest,
  options: KitOptions,
): void {
  const kit: Kit = {
    expects: new Set(options.expects),
    story: (title, body) => {
      test(title, { timeout: 60_000 }, async () => {
        const under = await factory()
        const account = await under.open()
        try {
          await body(account, under)
        } finally {
          account.close()
          await under.close?.()
        }
      })
    },
  }
  for (const [title, topic] of Object.entries(topics)) describe(`${name}: ${title}`, () => topic(kit))
}

/** Rejects with a BackendError of one of these codes. */
export async function refused(promise: Promise<unknown>, ...codes: string[]): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof BackendError, `a BackendError, not ${String(error)}`)
    assert.ok(codes.includes(error.code ?? ''), `code ${codes.join(' or ')}, not ${error.code} (${error.message})`)
    assert.notEqual(error.message, '')
    return true
  })
}
