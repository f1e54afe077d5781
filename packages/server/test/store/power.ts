// Data folders for the tests of the store, and what a restart finds after the power went.

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { HandClock } from '../../src/kernel/clock.ts'
import type { Store } from '../../src/store/contracts.ts'
import { leftJournals } from '../../src/store/journal.ts'
import { openStore, type StoreOptions } from '../../src/store/open.ts'
import { testScope } from '../fixtures/scope.ts'
import { notes } from './notes.ts'

const folders: string[] = []
after(() => folders.forEach((made) => rmSync(made, { recursive: true, force: true })))

/** A folder that goes when the tests of the file are over. */
export const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'aviso-store-'))
  folders.push(made)
  return made
}

export const ANNA = 'anna'

export const journals = (data: string): string[] => leftJournals(join(data, 'journal')).map(({ path }) => path)

/** The folder as a power loss would leave it: the files as they are now. */
export function copyOf(data: string): string {
  const copy = folder()
  cpSync(data, copy, { recursive: true })
  return copy
}

/** What a restart on a copy of the folder finds. */
export async function found(data: string, account = ANNA): Promise<readonly string[]> {
  const scope = testScope()
  const store = await openStore(scope, { folder: data, definitions: [notes] })
  try {
    return await store.account(notes, account).all()
  } finally {
    await scope.close()
    assert.deepEqual(journals(data), [], 'nothing is left to replay')
  }
}

/** A store for the time of a story, with a first note of Anna's. */
export const use = async (
  extra: Partial<StoreOptions>,
  story: (store: Store, data: string, clock: HandClock) => Promise<void>,
): Promise<void> => {
  const data = folder()
  const clock = new HandClock()
  const scope = testScope({ clock })
  const store = await openStore(scope, { folder: data, definitions: [notes], ...extra })
  try {
    await store.account(notes, ANNA).add({ text: 'first' })
    await story(store, data, clock)
  } finally {
    await scope.close()
  }
}
