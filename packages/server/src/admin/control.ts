// The control socket: how the command line reaches the running server. One JSON object a line, each answered by one.

import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Scope } from '../kernel/scope.ts'
import {
  type Admin,
  type AdminContext,
  type ArgumentsOf,
  OperationError,
  type OperationName,
  type ResultOf,
  runOperation,
} from './operations.ts'

/** Where the socket of the server with this data folder is. Whoever may open it may do everything: its mode is 0600. */
export const controlSocket = (folder: string): string => join(folder, 'control.sock')

interface Request {
  readonly id: number
  readonly name: string
  readonly args: unknown
}

type Response = { readonly id: number } & (
  { readonly result: unknown } | { readonly error: { readonly code: string; readonly message: string } }
)

/** Octets of one request: an import of many accounts is sent in pieces below this. */
const MAX_LINE = 16 * 1024 * 1024

/** Answers on the control socket until `scope` closes. The data folder must be this process's own (the store's lock says so). */
export async function serveControl(scope: Scope, folder: string, context: () => AdminContext): Promise<void> {
  const path = controlSocket(folder)
  // The lock on the store is ours, so a socket that is still here was left by a server that died.
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => {})
    let waiting = ''
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      waiting += text
      const lines = waiting.split('\n')
      waiting = lines.pop() ?? ''
      if (waiting.length > MAX_LINE) socket.destroy()
      for (const line of lines)
        void answer(scope, line, context).then((response) => socket.write(JSON.stringify(response) + '\n'))
    })
  })
  const mask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
  } finally {
    process.umask(mask)
  }
  server.on('error', (error) => scope.log.error({ err: error }, 'the control socket failed'))
  scope.defer(() => {
    for (const socket of open) socket.end()
    server.close()
  })
}

async function answer(scope: Scope, line: string, context: () => AdminContext): Promise<Response> {
  let request: Request
  try {
    request = JSON.parse(line) as Request
  } catch {
    return { id: 0, error: { code: 'invalid', message: 'a request is one line of JSON' } }
  }
  try {
    return { id: request.id, result: (await runOperation(context(), request.name, request.args)) ?? null }
  } catch (error) {
    const { code, message, cause } = error as OperationError
    if (code === 'internal') scope.log.error({ err: cause ?? error, operation: request.name }, 'an operation failed')
    return { id: request.id, error: { code: code ?? 'internal', message } }
  }
}

/** Connects to the running server; undefined when none runs on this data folder. */
export async function connectControl(folder: string): Promise<Admin | undefined> {
  const socket = connect(controlSocket(folder))
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') return undefined
    throw new OperationError(
      'unavailable',
      `a server seems to run on ${folder}, but its control socket cannot be opened (${String(code)}): are you the user that it runs as?`,
      { cause: error },
    )
  }
  return new ControlClient(socket)
}

class ControlClient implements Admin {
  readonly running = true
  readonly #socket: Socket
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  #nextId = 1

  constructor(socket: Socket) {
    this.#socket = socket
    const lines = createInterface({ input: socket })
    lines.on('line', (line) => {
      const response = JSON.parse(line) as Response
      const waiting = this.#waiting.get(response.id)
      this.#waiting.delete(response.id)
      if ('error' in response) waiting?.reject(new OperationError(response.error.code, response.error.message))
      else waiting?.resolve(response.result)
    })
    const lost = (): void => {
      for (const waiting of this.#waiting.values())
        waiting.reject(new OperationError('unavailable', 'the server ended the connection'))
      this.#waiting.clear()
    }
    lines.on('close', lost)
    socket.on('error', lost)
  }

  ask<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): Promise<ResultOf<Name>> {
    const request: Request = { id: this.#nextId++, name, args }
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve: resolve as (result: unknown) => void, reject })
      this.#socket.write(JSON.stringify(request) + '\n')
    })
  }

  async close(): Promise<void> {
    this.#socket.end()
  }
}
