// How commands talk: tables for people, JSON for programs, prompts only on a terminal, and exit statuses that mean something.

import { text } from 'node:stream/consumers'
import { AccountError } from '../accounts/errors.ts'
import { ConfigError } from '../kernel/config/load.ts'
import { StartError } from '../net/start-error.ts'
import { StoreError } from '../store/contracts.ts'
import { OperationError } from './operations.ts'

/** Exit statuses, as documented in docs/commands.md. systemd does not restart a service that ends with 2. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, conflict: 4, invalid: 5, unavailable: 6 } as const

/** A command was used wrongly: the message says how it is used. */
export class UsageError extends Error {}

/** Writes a result: as JSON where the caller asked for it, else with `people`. */
export function show(json: boolean, result: unknown, people: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : ended(people()))
}

/** Resolves when more may be written: the output may be a pipe that somebody reads slowly. */
export const write = (octets: string | Uint8Array): Promise<void> =>
  new Promise((resolve) => void process.stdout.write(octets, () => resolve()))

const ended = (textOut: string): string => (textOut === '' || textOut.endsWith('\n') ? textOut : `${textOut}\n`)

/** Rows under their headings, in columns. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(headings.map((heading) => heading.toUpperCase())), ...rows.map(line)].join('\n')
}

/** The exit status and the words for whatever ended a command. */
export function explain(error: unknown): { readonly status: number; readonly message: string } {
  if (error instanceof UsageError) return { status: EXIT.usage, message: error.message }
  if (error instanceof ConfigError) return { status: EXIT.usage, message: error.message }
  if (error instanceof StartError) return { status: EXIT.failed, message: error.message }
  if (error instanceof StoreError) return { status: EXIT.unavailable, message: inUse(error.message) }
  if (error instanceof AccountError || error instanceof OperationError)
    return { status: statusOf(error.code), message: inUse(error.message) }
  if (!(error instanceof Error)) return { status: EXIT.failed, message: String(error) }
  // A file that is not there, say: where in our code that was noticed helps nobody.
  if ('syscall' in error) return { status: EXIT.failed, message: error.message }
  return { status: EXIT.failed, message: error.stack ?? error.message }
}

const inUse = (message: string): string =>
  message.endsWith('is in use by another process')
    ? `${message}: another Aviso runs on this data folder, as another user or on another machine. Stop it first.`
    : message

function statusOf(code: string): number {
  switch (code) {
    case 'not-found':
      return EXIT.notFound
    case 'exists':
    case 'in-use':
      return EXIT.conflict
    case 'invalid':
    case 'limit':
      return EXIT.invalid
    case 'unavailable':
    case 'disk-full':
      return EXIT.unavailable
    case 'config':
      return EXIT.usage
    default:
      return EXIT.failed
  }
}

/** A new password: from standard input with `--password-stdin`, else asked for twice on a terminal. Elsewhere that is a usage error, never a hang. */
export async function newPassword(fromStdin: boolean): Promise<string> {
  if (fromStdin) {
    const line = (await text(process.stdin)).replace(/\r?\n$/, '')
    if (line === '') throw new UsageError('standard input held no password')
    return line
  }
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError('no terminal to ask for a password on: give it with --password-stdin')
  // Loaded only here: a server that runs for months asks nobody anything.
  const { isCancel, password: askHidden } = await import('@clack/prompts')
  const first = await askHidden({ message: 'Password' })
  const second = isCancel(first) ? first : await askHidden({ message: 'The same again' })
  if (isCancel(first) || isCancel(second)) throw new UsageError('cancelled')
  if (first !== second) throw new UsageError('the two passwords differ')
  return first
}

/** Goes on with `--yes`, or when somebody on the terminal says so; throws a UsageError otherwise. `what`: what is about to happen. */
export async function agreed(yes: boolean, what: string): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY || !process.stdout.isTTY) throw new UsageError(`${what}: add --yes if you mean it`)
  const { confirm } = await import('@clack/prompts')
  if (
    (await confirm({ message: `${what.charAt(0).toUpperCase()}${what.slice(1)}. Really?`, initialValue: false })) !==
    true
  )
    throw new UsageError('cancelled')
}

export const when = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').slice(0, 16)

export const messagesText = (count: number): string => (count === 1 ? '1 message' : `${count} messages`)
