// Running programs that are none of ours, where they are installed.

import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { PROGRAM } from '../../packages/server/test/fixtures/program.ts'

/** The command `aviso`, to be run by Node. */
export const AVISO = PROGRAM

/** How long a server may take to come up or to end, and a client to do its work, before the test gives up. Milliseconds. */
export const PATIENCE = 30_000

/** How a process ended. */
export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** How long it may take, where that is more than most need. Milliseconds. */
  readonly patience?: number
}

/** For `skip:` of a test: false where all the commands are installed, else what is missing. */
export function needs(...commands: readonly string[]): string | false {
  const missing = commands.filter((command) => !installed(command))
  return missing.length === 0 ? false : `needs ${missing.join(', ')}`
}

function installed(command: string): boolean {
  const places = command.includes('/')
    ? [command]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, command))
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Runs a program to its end. It is ended by force, and the promise rejects, when it takes too long. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env } })
    const out: Buffer[] = []
    const err: Buffer[] = []
    const patience = options.patience ?? PATIENCE
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      const said = Buffer.concat([...out, ...err]).toString()
      reject(new Error(`${command} ${args.join(' ')} did not end in ${patience / 1000} s; it said:\n${said}`))
    }, patience)
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => err.push(bytes))
    // A program that does not read its input is no failure of the test.
    child.stdin.on('error', () => {})
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (status) => {
      clearTimeout(timer)
      resolve({ status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
    child.stdin.end(options.input ?? '')
  })
}

/** As `run`; rejects with everything that the program said when its exit status is not 0. Resolves with its standard output. */
export async function succeed(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${String(status)}:\n${stdout}${stderr}`)
  return stdout
}

/** `aviso ARGS` to its end. */
export const aviso = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
  run(process.execPath, [PROGRAM, ...args], options)

/** Calls `look` some times a second until it gives something. Rejects with `what` when it takes too long. */
export async function eventually<T>(
  what: string | (() => string),
  look: () => T | undefined | Promise<T | undefined>,
  patience = PATIENCE / 2,
): Promise<T> {
  for (const end = Date.now() + patience; Date.now() < end;) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
  throw new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`)
}

/** A port that nobody has now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
