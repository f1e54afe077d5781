// The tables of the house: a new one is added here.

import type { AnyModule } from '../../kernel/module.ts'
import { staticTable } from './static.ts'

export const tableModules: readonly AnyModule[] = [staticTable]
