// Runs every test: `npm test [-- words of file names]`, `npm run coverage`; with `npm run test:long` those that throw dice, for minutes each. Ends with the plain line `N passed, N failed, N skipped`.

import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { coverage: { type: 'boolean' }, long: { type: 'boolean' } },
  allowPositionals: true,
})

/** What the long run does: fuzzing, random lives beside models, and kills, each printing the seed that repeats it. */
const LONG = [
  '/fuzz.',
  '/lives.',
  '/model.',
  '/packing-lives.',
  'tests/crash/crash.',
  'tests/crash/queue.',
  'tests/crash/chat.',
  'tests/crash/rooms.',
]
const words = values.long === true && positionals.length === 0 ? LONG : positionals
if (values.long === true) {
  process.env['AVISO_FUZZ_SECONDS'] ??= '300'
  process.env['AVISO_CRASH_ROUNDS'] ??= '50'
}

const files = globSync(['packages/*/test/**/*.test.ts', 'tests/**/*.test.ts'])
  .sort()
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
if (files.length === 0) {
  console.error(`no test file matches ${words.join(' ')}`)
  process.exit(1)
}

// Tests that start the program as a process start a release build: it is what people run, and it starts twice as fast.
const release = mkdtempSync(join(tmpdir(), 'aviso-test-'))
process.on('exit', () => rmSync(release, { recursive: true, force: true }))
const built = spawnSync(
  process.execPath,
  [fileURLToPath(new URL('build.ts', import.meta.url)), '--only', 'server', '--out', release],
  { stdio: ['ignore', 'ignore', 'inherit'] },
)
if (built.status !== 0) {
  console.log('0 passed, 1 failed')
  process.exit(1)
}
process.env['AVISO_PROGRAM'] = join(release, 'main.js')

const count = { passed: 0, failed: 0, skipped: 0 }
const needs = new Map<string, number>()

const tests = run({
  files,
  concurrency: 2,
  // Of one file. Tests that go on for as long as they are told have longer times of their own.
  timeout: values.long === true ? 7_200_000 : 600_000,
  ...(values.coverage === true
    ? { coverage: true, coverageExcludeGlobs: ['**/test/**', 'tests/**', 'scripts/**'] }
    : {}),
})
tests.on('test:pass', ({ name, skip, details }) => {
  if (skip !== undefined && skip !== false) {
    count.skipped++
    const reason = typeof skip === 'string' ? skip : `no reason given by '${name}'`
    needs.set(reason, (needs.get(reason) ?? 0) + 1)
  } else if (details.type !== 'suite') count.passed++
})
tests.on('test:fail', ({ details }) => {
  // Whatever holds a failed test fails with it: one defect is counted once.
  if ((details.error as { readonly failureType?: string }).failureType !== 'subtestsFailed') count.failed++
})
const report = tests.compose(new spec())
report.pipe(process.stdout)
report.on('end', () => {
  for (const [reason, tests] of needs) console.log(`skipped: ${reason} (${tests} ${tests === 1 ? 'test' : 'tests'})`)
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
  process.exitCode = count.failed === 0 && count.passed > 0 ? 0 : 1
})
