// The release build (`npm run build`): the server as a bundle in dist/aviso, and each protocol package as JavaScript with types in packages/<name>/dist.

import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const server = join(root, 'packages/server')

/** In the order in which they need each other's types. */
const LIBRARIES = ['sasl', 'mime', 'smtp', 'imap', 'xmpp']

const { values } = parseArgs({ options: { only: { type: 'string' }, out: { type: 'string', default: 'dist/aviso' } } })
const out = resolve(root, values.out)
const only = values.only
if (only !== undefined && only !== 'server' && only !== 'libraries')
  throw new Error(`--only is server or libraries, not ${only}`)

async function buildServer(): Promise<void> {
  rmSync(out, { recursive: true, force: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: {
      main: 'packages/server/src/main.ts',
      // A worker thread loads its own file, so that it stays small.
      'store-worker': 'packages/server/src/store-worker.ts',
      'table-worker': 'packages/server/src/table-worker.ts',
      // What an aviso.config.ts imports, where there is something to import.
      ...(existsSync(join(server, 'src/index.ts')) ? { index: 'packages/server/src/index.ts' } : {}),
    },
    outdir: out,
    bundle: true,
    // Chunks lie beside the entries: the code finds store-worker.js and package.json beside itself, whichever file it ends up in.
    splitting: true,
    chunkNames: 'chunk-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node24',
    sourcemap: true,
    // Names stay: a stack trace from somebody's server shall be readable as it is.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcesContent: false,
    keepNames: false,
    metafile: true,
    legalComments: 'linked',
    logLevel: 'warning',
    // CommonJS dependencies (pino, prom-client, commander) ask for Node's own modules with require, which an ES module has not.
    banner: {
      js: "import { createRequire as __requireOf } from 'node:module'; const require = __requireOf(import.meta.url);",
    },
  })
  writeManifest()
  writeLauncher()
  copyFileSync(join(root, 'LICENSE'), join(out, 'LICENSE'))

  for (const [file, output] of Object.entries(metafile.outputs).sort(([a], [b]) => a.localeCompare(b)))
    if (file.endsWith('.js')) console.log(sizeLine(join(root, file), output.bytes))
  const shares = new Map<string, number>()
  for (const output of Object.values(metafile.outputs))
    for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
      const owner = ownerOf(file)
      shares.set(owner, (shares.get(owner) ?? 0) + bytesInOutput)
    }
  const largest = [...shares].sort(([, a], [, b]) => b - a).slice(0, 12)
  console.log(`  of which: ${largest.map(([name, bytes]) => `${name} ${kib(bytes)}`).join(', ')}`)
}

/** The published package: no dependencies but the runtime that npm brings along. */
function writeManifest(): void {
  const manifest = readManifest(join(server, 'package.json'))
  const { name, version, description, license, engines } = manifest
  const published = {
    name: name.replace('@aviso/server', 'aviso'),
    version,
    description,
    license,
    type: 'module',
    engines,
    bin: { aviso: 'bin/aviso.cjs' },
    ...(existsSync(join(out, 'index.js')) ? { exports: { '.': './index.js' } } : {}),
    optionalDependencies: readManifest(join(root, 'package.json')).optionalDependencies ?? {},
  }
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`)
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly engines: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const readManifest = (file: string): Manifest => JSON.parse(readFileSync(file, 'utf8')) as Manifest

function writeLauncher(): void {
  mkdirSync(join(out, 'bin'))
  copyFileSync(join(server, 'bin/runtime.cjs'), join(out, 'bin/runtime.cjs'))
  writeFileSync(
    join(out, 'bin/aviso.cjs'),
    [
      '#!/usr/bin/env node',
      "'use strict'",
      "const path = require('node:path')",
      "require('./runtime.cjs').run(path.join(__dirname, '../main.js'), process.argv.slice(2))",
      '',
    ].join('\n'),
    { mode: 0o755 },
  )
}

function buildLibrary(name: string): void {
  const folder = join(root, 'packages', name)
  const config = join(root, 'dist', 'tsconfig', `${name}.json`)
  rmSync(join(folder, 'dist'), { recursive: true, force: true })
  mkdirSync(dirname(config), { recursive: true })
  // The other packages are taken as they were built: their sources are not this package's to emit.
  const built = LIBRARIES.slice(0, LIBRARIES.indexOf(name))
  const paths = Object.fromEntries(
    built.flatMap((other) =>
      Object.entries(exportsOf(other)).map(([entry, { types }]) => [
        entry.replace('.', `@aviso/${other}`),
        [join(root, 'packages', other, 'dist', types)],
      ]),
    ),
  )
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        sourceMap: true,
        rootDir: join(folder, 'src'),
        outDir: join(folder, 'dist'),
        typeRoots: [join(root, 'node_modules/@types')],
        paths,
      },
      include: [join(folder, 'src')],
    }),
  )
  // The compiler's own launcher, run on this very Node.
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tsc: string } }
  const tsc = spawnSync(process.execPath, [join(dirname(manifest), bin.tsc), '-p', config], { stdio: 'inherit' })
  if (tsc.status !== 0) throw new Error(`the types of @aviso/${name} do not build`)
  writeLibraryManifest(name)
  const files = globSync(join(folder, 'dist/**/*.js'))
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  console.log(`packages/${name}/dist: ${files.length} modules, ${kib(bytes)}, with types`)
}

/** What a library's manifest exports, as it is in its build. */
function exportsOf(name: string): Record<string, { readonly types: string; readonly default: string }> {
  const { exports } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
    exports: Record<string, string>
  }
  return Object.fromEntries(
    Object.entries(exports).map(([entry, source]) => {
      const built = source.replace('./src/', './').replace(/\.ts$/, '')
      return [entry, { types: `${built}.d.ts`, default: `${built}.js` }]
    }),
  )
}

/** The manifest to publish a library with, from its dist folder: in the sources the same package exports TypeScript. */
function writeLibraryManifest(name: string): void {
  const folder = join(root, 'packages', name)
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as object
  const published = { ...manifest, engines: { node: '>=24' }, exports: exportsOf(name) }
  writeFileSync(join(folder, 'dist/package.json'), `${JSON.stringify(published, undefined, 2)}\n`)
  for (const file of [join(folder, 'README.md'), join(root, 'LICENSE')])
    copyFileSync(file, join(folder, 'dist', basename(file)))
}

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(0)} KiB`

const sizeLine = (file: string, bytes: number): string =>
  `${relative(root, file)}: ${kib(bytes)} (${kib(gzipSync(readFileSync(file)).length)} gzipped)`

/** The package that a bundled file belongs to. */
function ownerOf(file: string): string {
  const dependency = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]
  return dependency ?? /^packages\/([^/]+)/.exec(file)?.[1] ?? basename(file)
}

try {
  if (only !== 'libraries') await buildServer()
  if (only !== 'server') for (const name of LIBRARIES) buildLibrary(name)
} catch (error) {
  console.error(`build: ${(error as Error).message}`)
  process.exitCode = 1
}
