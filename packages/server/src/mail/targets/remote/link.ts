// One connection to one server, up to where a message can be sent: connect, greeting, EHLO, TLS, AUTH.

import { connect, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'
import { isIP } from 'node:net'
import { type ClientTimeouts, SmtpClient, SmtpConnectionError, SmtpError } from '@aviso/smtp'
import type { Clock } from '../../../kernel/clock.ts'
import { chainOf, daneMatches } from '../../../net/dane.ts'
import { answer, answerOf } from './answers.ts'
import type { Answer, TlsLevel } from './contracts.ts'
import { type Demands, judge, type TlsOutcome } from './policy.ts'
import { smtpClock } from './smtp-clock.ts'
import { certificateFailure, type TlsFailureType } from './tls-results.ts'

/** A server at one of its addresses. */
export interface Hop {
  /** Its name, for certificates, log and notifications. */
  readonly host: string
  readonly at: { readonly address: string; readonly port: number } | { readonly path: string }
  /** `implicit`: the handshake comes first. `none`: TLS is not even tried. */
  readonly tls: 'starttls' | 'implicit' | 'none'
  readonly kind: 'smtp' | 'lmtp'
}

/** What connections are made with; the same for all of a courier. */
export interface LinkTools {
  /** Our name in EHLO: A-labels. */
  readonly hostname: string
  readonly clock: Clock
  readonly timeouts: Partial<ClientTimeouts> & { readonly connect: number }
  readonly secureContext: SecureContext
  /** Our own address for connections to this one. */
  source(address: string): string | undefined
  /** Logs in, where the server is one that asks for it. */
  authenticate?(client: SmtpClient, hop: Hop, level: TlsLevel): Promise<void>
}

/** A connection that is ready. */
export interface Link {
  readonly client: SmtpClient
  readonly hop: Hop
  readonly tls: TlsOutcome
  /** `TLSv1.3`; undefined in the clear. */
  readonly protocol: string | undefined
  /** Our own address, for reports. */
  readonly localAddress: string
  /** TLS was tried before, and failed: this connection is in the clear. */
  readonly fellBack: TlsFault | undefined
}

/** What went wrong with TLS, for reports. */
export interface TlsFault {
  readonly type: TlsFailureType
  readonly reason: string
}

/** A server that is not to be had; the next one may be. */
export class HopError extends Error {
  readonly answer: Answer
  readonly fault: TlsFault | undefined
  readonly localAddress: string

  constructor(reason: Answer, fault?: TlsFault, localAddress = '', options?: ErrorOptions) {
    super(reason.text, options)
    this.name = 'HopError'
    this.answer = reason
    this.fault = fault
    this.localAddress = localAddress
  }
}

/**
 * Opens a connection that meets the demands. Where TLS fails and nobody demands it, a second connection is made in the clear. Rejects with a HopError, or with the
 * signal's reason.
 */
export async function openLink(hop: Hop, demands: Demands, tools: LinkTools, signal: AbortSignal): Promise<Link> {
  try {
    return await openOnce(hop, demands, tools, signal)
  } catch (error) {
    if (!(error instanceof HandshakeFailed)) throw error
    if (demands.tls !== 'none' || hop.tls !== 'starttls') throw error
    const link = await openOnce({ ...hop, tls: 'none' }, demands, tools, signal)
    return { ...link, hop, fellBack: error.fault }
  }
}

/** The connection was fine until TLS. */
class HandshakeFailed extends HopError {}

async function openOnce(hop: Hop, demands: Demands, tools: LinkTools, signal: AbortSignal): Promise<Link> {
  const { host } = hop
  const socket = await dial(hop, tools, signal)
  const localAddress = socket.localAddress ?? ''
  let stream: Duplex = socket
  let client: SmtpClient | undefined
  const abort = (): void => {
    socket.destroy()
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    if (hop.tls === 'implicit') stream = await secure(socket, hop, demands, tools)
    client = await SmtpClient.open({
      connect: () => stream,
      name: tools.hostname,
      kind: hop.kind,
      timeouts: tools.timeouts,
      clock: smtpClock(tools.clock),
    })
    if (hop.tls === 'starttls' && client.extensions.has('STARTTLS')) await startTls(client, hop, demands, tools)
    const outcome = client.socket === socket ? undefined : outcomeOf(client.socket as TLSSocket, demands, tools)
    const complaint = judge(host, demands, outcome ?? 'not offered')
    if (complaint !== undefined) throw new HopError(complaint, faultOf(outcome), localAddress)
    await tools.authenticate?.(client, hop, outcome?.level ?? 'none')
    const protocol = outcome === undefined ? undefined : ((client.socket as TLSSocket).getProtocol() ?? undefined)
    return { client, hop, tls: outcome ?? IN_CLEAR, protocol, localAddress, fellBack: undefined }
  } catch (error) {
    client?.close()
    stream.destroy()
    socket.destroy()
    if (signal.aborted) throw signal.reason
    throw asHopError(error, host, localAddress)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

const IN_CLEAR: TlsOutcome = { level: 'none', daneMatched: undefined, fault: undefined }

/** Connects. */
function dial({ at, host }: Hop, { timeouts, clock, source }: LinkTools, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const localAddress = 'path' in at ? undefined : source(at.address)
    const socket =
      'path' in at
        ? connect({ path: at.path })
        : connect({
            host: at.address,
            port: at.port,
            noDelay: true,
            ...(localAddress === undefined ? {} : { localAddress }),
          })
    const settle = (error: unknown): void => {
      timer.cancel()
      signal.removeEventListener('abort', abort)
      socket.off('error', settle).off('connect', done)
      // What comes later is told by 'close'.
      socket.on('error', () => {})
      if (error === undefined) return resolve(socket)
      socket.destroy()
      reject(
        error instanceof Error && !(error instanceof HopError) && !signal.aborted ? unreachable(host, error) : error,
      )
    }
    const done = (): void => settle(undefined)
    const abort = (): void => settle(signal.reason)
    const timer = clock.timeout(timeouts.connect, () =>
      settle(new HopError(answer(451, '4.4.1', `${host} does not answer`))),
    )
    signal.addEventListener('abort', abort, { once: true })
    socket.once('error', settle).once('connect', done)
  })
}

const unreachable = (host: string, error: Error & { readonly code?: string }): HopError =>
  new HopError(answer(451, '4.4.1', `${host} cannot be reached (${error.code ?? error.message})`), undefined, '', {
    cause: error,
  })

/** RFC 3207 §4.1: a server that offers STARTTLS and refuses it may still be spoken with in the clear, where that is allowed. */
async function startTls(client: SmtpClient, hop: Hop, demands: Demands, tools: LinkTools): Promise<void> {
  try {
    await client.startTls((socket) => secure(socket, hop, demands, tools))
  } catch (error) {
    if (error instanceof SmtpError && error.code !== 421 && demands.tls === 'none' && !client.closed) return
    if (error instanceof SmtpError) {
      const reason = answer(451, '4.7.1', `${hop.host} refuses STARTTLS: ${error.message}`)
      throw new HandshakeFailed(reason, { type: 'starttls-not-supported', reason: error.message })
    }
    if (error instanceof SmtpConnectionError && error.cause instanceof HandshakeFailed) throw error.cause
    throw error
  }
}

/** The client's side of a handshake. Every certificate is taken here, and judged afterwards. */
function secure(socket: Duplex, { host }: Hop, { dane }: Demands, tools: LinkTools): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // RFC 7672 §8.1: SNI is the name that the TLSA records stand at.
    const name = dane.kind === 'none' ? host : dane.base
    const secured = connectTls({
      socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      secureContext: tools.secureContext,
      rejectUnauthorized: false,
      // RFC 7672 §2.1: without DANE a certificate that is not good is as good as none, and better than no encryption.
    })
    const timer = tools.clock.timeout(tools.timeouts.connect, () => settle(new Error('timeout')))
    const onError = (error: Error): void => settle(error)
    const onClose = (): void => settle(new Error('the connection was closed'))
    const onSecure = (): void => settle(undefined)
    secured.once('secureConnect', onSecure).once('close', onClose).on('error', onError)
    function settle(error: (Error & { readonly reason?: string; readonly code?: string }) | undefined): void {
      timer.cancel()
      secured.off('secureConnect', onSecure).off('close', onClose).off('error', onError)
      secured.on('error', () => {})
      if (error === undefined) return resolve(secured)
      secured.destroy()
      const reason = error.reason ?? error.code ?? error.message
      reject(
        new HandshakeFailed(
          answer(451, '4.7.5', `TLS with ${host} fails (${reason})`),
          { type: 'validation-failure', reason },
          '',
          { cause: error },
        ),
      )
    }
  })
}

function outcomeOf(socket: TLSSocket, { dane }: Demands, tools: LinkTools): TlsOutcome {
  const daneMatched =
    dane.kind === 'records' ? daneMatches(dane.records, chainOf(socket), dane.names, tools.clock.now()) : undefined
  const level: TlsLevel = daneMatched === true || socket.authorized ? 'authenticated' : 'encrypted'
  const fault = socket.authorized ? undefined : String(socket.authorizationError)
  return { level, daneMatched, fault }
}

function faultOf(outcome: TlsOutcome | undefined): TlsFault {
  if (outcome === undefined) return { type: 'starttls-not-supported', reason: '' }
  if (outcome.daneMatched === false) return { type: 'validation-failure', reason: 'no TLSA record matches' }
  const reason = outcome.fault ?? ''
  return { type: certificateFailure(reason), reason }
}

function asHopError(error: unknown, host: string, localAddress: string): HopError {
  if (error instanceof HandshakeFailed)
    return new HandshakeFailed(error.answer, error.fault, localAddress, { cause: error.cause })
  if (error instanceof HopError) return error
  if (error instanceof SmtpError) {
    const said = answerOf(error.reply)
    // 2yz and 3yz have no business here.
    const reason = said.code < 400 ? answer(451, '4.5.0', `${host} answers out of turn: ${said.text}`) : said
    return new HopError(reason, undefined, localAddress, { cause: error })
  }
  const why = error instanceof Error ? error.message : String(error)
  return new HopError(answer(451, '4.4.2', `The connection with ${host} broke off (${why})`), undefined, localAddress, {
    cause: error,
  })
}
