// From an address to a session: TCP, TLS, greeting, STARTTLS, login, ENABLE, COMPRESS.

import { connect as connectTcp, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { isPrivate, logIn } from './authenticate.ts'
import { type Clock, systemClock } from './clock.ts'
import { SessionCore } from './core.ts'
import { ImapClientError, unlessRefused } from './errors.ts'
import { enable, identify } from './operations/account.ts'
import { type ClientOptions, DEFAULT_CLIENT_LIMITS, DEFAULT_TIMEOUTS } from './options.ts'
import { ImapClientSession } from './session.ts'

const ENABLE = ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT', 'IMAP4rev2']

/**
 * Connects and logs in. Rejects with `ImapClientError` (`status` and `code` tell why), `SaslFailure` when the server cannot prove itself, or the
 * reason of `signal`; the connection is closed then.
 */
export async function connectImap(options: ClientOptions): Promise<ImapClientSession> {
  const { host, tls = 'implicit', signal, clock = systemClock } = options
  const port = options.port ?? (tls === 'implicit' ? 993 : 143)
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts }
  const limit = deadline(clock, timeouts.connect, signal)
  let core: SessionCore | undefined
  try {
    const plain = await within(limit.signal, (options.dial ?? dial)(host, port))
    const socket = tls === 'implicit' ? await secure(plain, options, limit.signal) : plain
    core = new SessionCore(socket, { clock, timeouts, limits: { ...DEFAULT_CLIENT_LIMITS, ...options.limits } })
    const { connection } = core
    const preauth = await guarded(core, limit.signal, async (core) => {
      const { status } = await connection.greeting
      if (tls === 'starttls') await startTls(core, status === 'PREAUTH', options, limit.signal)
      return status === 'PREAUTH'
    })
    // From here on the time of a command counts.
    limit.cancel()
    await guarded(core, signal, (core) => introduce(core, preauth, { ...options, port }))
    return new ImapClientSession(core)
  } catch (error) {
    core?.connection.fail(closed(error))
    throw signal?.aborted === true ? signal.reason : limit.signal.aborted ? limit.signal.reason : error
  } finally {
    limit.cancel()
  }
}

const closed = (cause: unknown): ImapClientError =>
  new ImapClientError('CLOSED', 'The connection was given up', { cause })

/** Does `work`; when `signal` is aborted meanwhile the connection is closed, and `work` fails with it. */
async function guarded<T>(
  core: SessionCore,
  signal: AbortSignal | undefined,
  work: (core: SessionCore) => Promise<T>,
): Promise<T> {
  const stop = (): void => core.connection.fail(closed(signal?.reason))
  signal?.addEventListener('abort', stop)
  try {
    return await work(core)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Login, and everything that is set up once. */
async function introduce(core: SessionCore, authenticated: boolean, options: ClientOptions): Promise<void> {
  const { signal, auth } = options
  if (!core.capabilitiesKnown) await core.run('CAPABILITY', signal)
  if (!authenticated && auth !== undefined) {
    core.forgetCapabilities()
    await logIn(core, auth, options, isPrivate(core.connection.socket) || options.plaintextPassword === true)
    // RFC 9051 §6.2.3: they may be others now, and a server that does not say so by itself is asked.
    if (!core.capabilitiesKnown) await core.run('CAPABILITY', signal)
  }
  if (options.id !== false && core.has('ID')) {
    // A server that refuses to tell who it is (RFC 2971 allows none to, some do) is no worse for it.
    core.serverId = await identify(core, options.id ?? { name: '@aviso/imap' }, signal).catch(unlessRefused(new Map()))
  }
  if (!authenticated && auth === undefined) return
  await enable(core, options.enable ?? ENABLE, signal)
  if (options.compress !== false && core.has('COMPRESS=DEFLATE')) {
    await core.connection.compress().catch(unlessRefused(undefined))
  }
}

async function startTls(
  core: SessionCore,
  preauth: boolean,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<void> {
  // RFC 9051 §11.1: someone in between can greet with PREAUTH, after which no STARTTLS is allowed.
  if (preauth)
    throw new ImapClientError('PROTOCOL', 'The server greets as if we were logged in, which leaves no room for TLS')
  if (!core.capabilitiesKnown) await core.run('CAPABILITY')
  core.need('STARTTLS', 'encrypt the connection')
  await core.connection.startTls((socket) => secure(socket, options, signal))
  // RFC 9051 §6.2.1: what was said before TLS is not to be believed.
  core.forgetCapabilities()
  await core.run('CAPABILITY')
}

function dial(host: string, port: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true, keepAlive: true })
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

function secure(socket: Duplex, options: ClientOptions, signal: AbortSignal): Promise<TLSSocket> {
  const { host, tlsOptions } = options
  const name = isIP(host) === 0 ? { servername: host } : {}
  return within(
    signal,
    new Promise((resolve, reject) => {
      const encrypted = connectTls({ ...name, ...tlsOptions, socket, host })
      encrypted.once('secureConnect', () => {
        encrypted.off('error', reject)
        resolve(encrypted)
      })
      encrypted.once('error', reject)
      encrypted.once('close', () => reject(new Error('The server closed the connection during the TLS handshake')))
      signal.addEventListener('abort', () => encrypted.destroy(), { once: true })
    }),
  )
}

/** Rejects with the reason of `signal`; a connection that comes too late is closed. */
function within<T extends Duplex>(signal: AbortSignal, made: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    made.then(
      (socket) => {
        signal.removeEventListener('abort', stop)
        if (signal.aborted) socket.destroy()
        resolve(socket)
      },
      (cause: unknown) => {
        signal.removeEventListener('abort', stop)
        reject(
          cause instanceof ImapClientError
            ? cause
            : new ImapClientError('CLOSED', `There is no connection: ${String(cause)}`, { cause }),
        )
      },
    )
  })
}

/** A signal that is aborted after a time or when another is. */
function deadline(
  clock: Clock,
  milliseconds: number,
  outer: AbortSignal | undefined,
): { readonly signal: AbortSignal; cancel(): void } {
  const controller = new AbortController()
  const timer = clock.after(milliseconds, () =>
    controller.abort(new ImapClientError('TIMEOUT', `There was no connection within ${milliseconds} ms`)),
  )
  const pass = (): void => controller.abort(outer?.reason)
  if (outer?.aborted === true) pass()
  outer?.addEventListener('abort', pass, { once: true })
  return {
    signal: controller.signal,
    cancel() {
      timer.cancel()
      outer?.removeEventListener('abort', pass)
    },
  }
}
