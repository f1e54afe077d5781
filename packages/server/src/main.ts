// The program `aviso`.

import { runCommandLine } from './admin/cli.ts'
import { programme } from './programme.ts'

await runCommandLine(programme(process.env), process.argv.slice(2))
