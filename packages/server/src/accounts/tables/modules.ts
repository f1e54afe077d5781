// The tables of the house: a new one is added here.

import type { AnyModule } from '../../kernel/module.ts'
import { accountsTable } from './accounts.ts'
import { chainTable } from './chain.ts'
import { fileTable } from './file.ts'
import { identityTable } from './identity.ts'
import { localpartTable } from './localpart.ts'
import { regexpTable } from './regexp.ts'
import { sqlQueryTable } from './sql-query.ts'
import { sqlTableTable } from './sql-table.ts'
import { staticTable } from './static.ts'
import { withDomainTable } from './with-domain.ts'

export const tableModules: readonly AnyModule[] = [
  staticTable,
  fileTable,
  regexpTable,
  sqlQueryTable,
  sqlTableTable,
  chainTable,
  identityTable,
  localpartTable,
  withDomainTable,
  accountsTable,
]
