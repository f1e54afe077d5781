// `npm start`: the demo, from a release build, which starts faster than the sources and takes half the memory. The build (half a second) is made when it is missing or older
// than the sources. Where it cannot be made (npm ci --omit=dev), the sources run as they are.
'use strict'

const { spawnSync } = require('node:child_process')
const { readdirSync, statSync } = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const built = path.join(root, 'dist', 'aviso', 'main.js')
const sources = path.join(root, 'packages', 'server', 'src', 'main.ts')

/** Milliseconds of the newest change in a folder or file; 0 where there is none. */
function newest(file) {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) return 0
  if (!found.isDirectory()) return found.mtimeMs
  return readdirSync(file).reduce((latest, name) => Math.max(latest, newest(path.join(file, name))), found.mtimeMs)
}

function upToDate() {
  const made = newest(built)
  const packages = readdirSync(path.join(root, 'packages'))
  const watched = packages.flatMap((name) =>
    ['src', 'package.json'].map((part) => path.join(root, 'packages', name, part)),
  )
  return made > 0 && [...watched, path.join(root, 'package-lock.json')].every((file) => newest(file) <= made)
}

const ready =
  upToDate() ||
  spawnSync(process.execPath, [path.join(__dirname, 'run.cjs'), path.join(__dirname, 'build.ts'), '--only', 'server'], {
    stdio: 'ignore',
  }).status === 0
require('../packages/server/bin/runtime.cjs').run(ready ? built : sources, ['demo', ...process.argv.slice(2)])
