// Tables for tests, opened as the config opens them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import * as v from 'valibot'
import { Accounts } from '../../../src/accounts/contracts.ts'
import { type Table, tables } from '../../../src/accounts/tables/contracts.ts'
import { tableModules } from '../../../src/accounts/tables/modules.ts'
import { openTables } from '../../../src/accounts/tables/tables.ts'
import { type Clock, HandClock } from '../../../src/kernel/clock.ts'
import { ConfigFolder } from '../../../src/kernel/config/folder.ts'
import { moduleMap } from '../../../src/kernel/config/modules.ts'
import { recordingLog } from '../../../src/kernel/log.ts'
import { Registry } from '../../../src/kernel/module.ts'
import { testScope } from '../../fixtures/scope.ts'

/** The tables of `written`, as in the config, in a folder of their own. */
export async function openTestTables(
  t: TestContext,
  written: Readonly<Record<string, unknown>>,
  {
    accounts,
    clock = new HandClock(),
    folder = testFolder(t),
  }: { accounts?: Accounts; clock?: Clock; folder?: string } = {},
) {
  const { log, lines } = recordingLog()
  const scope = testScope({ clock, log })
  t.after(() => scope.close())
  scope.provide(ConfigFolder, folder)
  if (accounts !== undefined) scope.provide(Accounts, accounts)
  const open = await openTables(scope, v.parse(moduleMap(new Registry(tableModules), tables), written))
  return {
    folder,
    clock,
    lines,
    scope,
    table: (key: string): Table => open.get(key),
    look: async (key: string, wanted: string): Promise<readonly string[]> => open.get(key).lookup(wanted),
  }
}

export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-tables-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
