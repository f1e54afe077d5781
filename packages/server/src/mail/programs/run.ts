// Runs a program of the administrator's on a mail: no shell, the message on its standard input, output and time bounded.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as v from 'valibot'
import type { Clock } from '../../kernel/clock.ts'
import type { Mail, Message } from '../pipeline/contracts.ts'

/** Octets that a program may write. */
const MAX_OUTPUT = 64 * 1024
/** Octets of what it writes to standard error that are kept for the log. */
const MAX_ERROR = 2000

export interface Order {
  readonly command: string
  readonly args: readonly string[]
  /** What it finds on its standard input; undefined: nothing. */
  readonly message: Message | undefined
  /** Milliseconds. */
  readonly timeout: number
  /** Variables besides PATH and LANG. */
  readonly environment: Readonly<Record<string, string>>
  /** Ends the program: nobody waits for it any more. */
  readonly signal?: AbortSignal
}

/** How a program ended. */
export interface Ran {
  /** Its exit status. */
  readonly status: number
  readonly output: string
  readonly error: string
}

/** The program could not be run, was ended by a signal, took too long or wrote too much. */
export class ProgramError extends Error {}

/** Runs a program to its end. Rejects with ProgramError. */
export async function runProgram(
  { command, args, message, timeout, environment, signal }: Order,
  clock: Clock,
): Promise<Ran> {
  if (signal?.aborted === true) throw new ProgramError(`${command} is not run: the server is stopping`)
  const child = spawn(command, args, {
    // A group of its own, so that what it starts ends with it.
    detached: true,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C.UTF-8', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let failure: ProgramError | undefined
  const kill = (why: string): void => {
    failure ??= new ProgramError(`${command} ${why}`)
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
    // Somebody whom it left behind may hold these open for ever.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
  }
  const timer = clock.timeout(timeout, () => kill(`did not end within ${timeout / 1000} s`))
  const stopped = (): void => kill('was ended: the server is stopping')
  signal?.addEventListener('abort', stopped, { once: true })
  const output: Buffer[] = []
  let length = 0
  child.stdout.on('data', (bytes: Buffer) => {
    length += bytes.byteLength
    if (length > MAX_OUTPUT) kill(`wrote more than ${MAX_OUTPUT} octets`)
    else output.push(bytes)
  })
  let error = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (error.length < MAX_ERROR) error = (error + text).slice(0, MAX_ERROR)
  })
  // A program need not read its input.
  child.stdin.on('error', () => {})
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (reason) => resolve(`cannot be run: ${reason.message}`))
    child.once('close', (status, signal) => resolve(status ?? `was ended by ${signal ?? 'a signal'}`))
  })
  void feed(child.stdin, message).catch(() => kill('could not be given the message'))
  const status = await ended
  timer.cancel()
  signal?.removeEventListener('abort', stopped)
  if (failure !== undefined) throw failure
  if (typeof status === 'string') throw new ProgramError(`${command} ${status}`)
  return { status, output: Buffer.concat(output).toString('utf8'), error: error.trim() }
}

async function feed(
  stdin: NodeJS.WritableStream & { readonly destroyed?: boolean },
  message: Message | undefined,
): Promise<void> {
  if (message !== undefined)
    for await (const chunk of message.chunks()) {
      if (stdin.destroyed === true) return
      if (!stdin.write(chunk)) await Promise.race([once(stdin, 'drain'), once(stdin, 'close')]).catch(() => {})
    }
  stdin.end()
}

/** What all settings of programs have in common. */
export const programSettings = {
  command: v.pipe(
    v.string(),
    v.regex(/^[^\0]+$/),
    v.check((text) => !text.includes('{'), 'the program itself cannot hold a placeholder'),
    v.description('the program; no shell is asked'),
  ),
  arguments: (placeholders: string) =>
    v.optional(
      v.pipe(
        v.array(v.pipe(v.string(), v.regex(/^[^\0]*$/))),
        v.description(`its arguments; placeholders are ${placeholders}`),
      ),
      [],
    ),
}

/** What placeholders stand for; a list fills one argument each where the placeholder stands alone. */
export type Values = Readonly<Record<string, string | readonly string[]>>

/** What every program may know of a mail. */
export const mailValues = (
  {
    id,
    client,
    reversePath,
    recipients,
    simulated,
  }: Pick<Mail, 'id' | 'client' | 'reversePath' | 'recipients' | 'simulated'>,
  extra: Values = {},
): Values => ({
  // Only asked what would happen: the program shall remember nothing of it.
  simulated: simulated ? '1' : '',
  mail: id,
  session: client.session,
  ip: client.remoteAddress,
  hello: client.hello,
  account: client.account?.address ?? '',
  sender: reversePath?.toString() ?? '',
  recipients: recipients.map(({ address }) => address.toString()),
  ...extra,
})

const PLACEHOLDER = /\{([a-z-]+)\}/g

/** Throws Error for a placeholder that is none: at the start, not at the first mail. */
export function checkPlaceholders(args: readonly string[], known: readonly string[]): void {
  for (const arg of args)
    for (const [whole, name = ''] of arg.matchAll(PLACEHOLDER))
      if (!known.includes(name))
        throw new Error(
          `'${whole}' in an argument is no placeholder; known here: ${known.map((one) => `{${one}}`).join(', ')}`,
        )
}

/**
 * The arguments with placeholders filled. Undefined when a value that a peer chose would begin an argument with `-`: a program would take it for an option.
 */
export function fillArguments(args: readonly string[], values: Values): readonly string[] | undefined {
  const filled: string[] = []
  for (const arg of args) {
    const alone = /^\{([a-z-]+)\}$/.exec(arg)?.[1]
    const list = alone === undefined ? undefined : values[alone]
    const made = Array.isArray(list)
      ? (list as readonly string[])
      : [arg.replace(PLACEHOLDER, (_whole, name: string) => [values[name] ?? ''].flat().join(' '))]
    if (!arg.startsWith('-') && made.some((one) => one.startsWith('-'))) return undefined
    filled.push(...made.map((one) => one.replaceAll('\0', '')))
  }
  return filled
}

/** The values as variables of the environment: `AVISO_SENDER`. */
export const asEnvironment = (values: Values): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      `AVISO_${name.replaceAll('-', '_').toUpperCase()}`,
      [value].flat().join(' ').replaceAll('\0', ''),
    ]),
  )
