// The control socket: how the command line reaches the running server. One JSON object a line, each answered by one.

import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Scope } from '../kernel/scope.ts'
import { StartError } from '../net/start-error.ts'
import { Lines } from './lines.ts'
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

/** Octets of the path of a unix socket (sun_path of unix(7)), without the final NUL. Longer ones are cut off without a word. */
const MAX_PATH = 107

interface Request {
  readonly id: number
  readonly name: string
  readonly args: unknown
}

type Response = { readonly id: number } & (
  { readonly result: unknown } | { readonly error: { readonly code: string; readonly message: string } }
)

/** Characters of one request: an import of many accounts is sent in pieces below this. */
const MAX_LINE = 16 * 1024 * 1024

/** Answers on the control socket until `scope` closes. The data folder must be this process's own (the store's lock says so). */
export async function serveControl(scope: Scope, folder: string, context: () => AdminContext): Promise<void> {
  const path = controlSocket(folder)
  if (Buffer.byteLength(path) > MAX_PATH)
    throw new StartError(
      `the control socket ${path} cannot be made: its path is longer than the ${MAX_PATH} octets that the system allows. Choose a data folder with a shorter path.`,
    )
  // The lock on the store is ours, so a socket that is still here was left by a server that died.
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => {})
    void converse(scope, socket, context)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new StartError(`the control socket ${path} cannot be made: ${error.message}`, { cause: error })),
    )
    // The file is made within this call, so that no other file gets this mask.
    const mask = process.umask(0o177)
    try {
      server.listen(path, resolve)
    } finally {
      process.umask(mask)
    }
  })
  server.on('error', (error) => scope.log.error({ err: error }, 'the control socket failed'))
  scope.defer(() => {
    // Not only `end`: a client that does not hang up must not keep the process.
    for (const socket of open) socket.destroySoon()
    server.close()
  })
}

/** Serves one client: its requests one after the other, so that one who does not read the answers is not read either. Never rejects. */
async function converse(scope: Scope, socket: Socket, context: () => AdminContext): Promise<void> {
  const lines = new Lines(MAX_LINE)
  try {
    socket.setEncoding('utf8')
    for await (const text of socket as AsyncIterable<string>) {
      for (const line of lines.push(text)) await send(socket, await answer(scope, line, context))
      if (!lines.overflown) continue
      await send(socket, { id: 0, error: { code: 'invalid', message: 'the request is too long' } })
      break
    }
  } catch (error) {
    // The client went away in the middle.
    scope.log.debug({ err: error }, 'a control connection broke')
  }
  socket.destroySoon()
}

/** Resolves when more may be written, or nobody reads any more. */
function send(socket: Socket, response: Response): Promise<void> {
  if (socket.destroyed || !socket.writable) return Promise.resolve()
  return new Promise((resolve) => {
    socket.once('close', resolve)
    socket.write(JSON.stringify(response) + '\n', () => {
      socket.off('close', resolve)
      resolve()
    })
  })
}

async function answer(scope: Scope, line: string, context: () => AdminContext): Promise<Response> {
  const request = parseRequest(line)
  if (request === undefined) return { id: 0, error: { code: 'invalid', message: 'a request is one line of JSON' } }
  const { id, name, args } = request
  try {
    const result = (await runOperation(context(), name, args)) ?? null
    return { id, result }
  } catch (error) {
    const failure =
      error instanceof OperationError
        ? error
        : new OperationError('unavailable', error instanceof Error ? error.message : String(error), { cause: error })
    if (failure.code === 'internal')
      scope.log.error({ err: failure.cause ?? failure, operation: name }, 'an operation failed')
    return { id, error: { code: failure.code, message: failure.message } }
  }
}

function parseRequest(line: string): Request | undefined {
  const value = parseObject(line)
  if (value === undefined || typeof value['id'] !== 'number' || typeof value['name'] !== 'string') return undefined
  return { id: value['id'], name: value['name'], args: value['args'] }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** Connects to the running server; undefined when none runs on this data folder. */
export async function connectControl(folder: string): Promise<Admin | undefined> {
  const path = controlSocket(folder)
  // No server can have made it.
  if (Buffer.byteLength(path) > MAX_PATH) return undefined
  const socket = connect(path)
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
    const lines = new Lines(Infinity)
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      for (const line of lines.push(text)) this.#answered(line)
    })
    socket.on('error', () => {})
    socket.on('close', () => this.#lost())
  }

  ask<Name extends OperationName>(name: Name, args: ArgumentsOf<Name>): Promise<ResultOf<Name>> {
    const request: Request = { id: this.#nextId++, name, args }
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve: resolve as (result: unknown) => void, reject })
      if (this.#socket.writable) this.#socket.write(JSON.stringify(request) + '\n')
      else this.#lost()
    })
  }

  async close(): Promise<void> {
    this.#socket.destroySoon()
  }

  #answered(line: string): void {
    const response = parseObject(line) as Response | undefined
    if (response === undefined) return void this.#socket.destroy()
    // An answer to no request in particular is one about the connection.
    const about = response.id === 0 ? [...this.#waiting.keys()] : [response.id]
    for (const id of about) {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if ('error' in response) waiting?.reject(new OperationError(response.error.code, response.error.message))
      else waiting?.resolve(response.result)
    }
  }

  #lost(): void {
    for (const waiting of this.#waiting.values())
      waiting.reject(new OperationError('unavailable', 'the server ended the connection'))
    this.#waiting.clear()
  }
}
