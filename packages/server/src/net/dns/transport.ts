// RFC 1035 §4.2, RFC 7766: one question to one server, by UDP or TCP.

import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import type { Clock } from '../../kernel/clock.ts'
import type { DnsError } from './contracts.ts'
import { type Query, readReply, type Reading } from './packet.ts'

/** A server that is asked. */
export interface DnsServer {
  readonly host: string
  readonly port: number
  /** Its word (the AD bit) counts. */
  readonly trusted: boolean
}

/** Why a server could not be asked. */
export class ExchangeError extends Error {
  readonly code: DnsError['code']
  constructor(code: DnsError['code'], options?: ErrorOptions) {
    super(code, options)
    this.name = 'ExchangeError'
    this.code = code
  }
}

export interface ExchangeTerms {
  /** Milliseconds for the whole exchange. */
  readonly timeout: number
  readonly clock: Clock
  /** Gives up. */
  readonly signal: AbortSignal
}

export type Judged = Exclude<Reading, { readonly kind: 'stranger' }>

/** Packets that are not the answer and are borne with: a few are late ones, more are an attack. */
const MAX_STRANGERS = 8

/** Asks by UDP, from a port that the system chooses anew for each question. Resolves with the first packet that answers it. Rejects with an ExchangeError. */
export function askByUdp(server: DnsServer, query: Query, { timeout, clock, signal }: ExchangeTerms): Promise<Judged> {
  return new Promise((resolve, reject) => {
    // Connected, so that the kernel keeps away what others send, and tells when nobody is there.
    const socket = createSocket(isIPv6(server.host.split('%')[0] ?? '') ? 'udp6' : 'udp4')
    let strangers = 0
    const timer = clock.timeout(timeout, () => fail('timeout'))
    const abort = (): void => fail('timeout')
    let over = false
    const end = (): void => {
      over = true
      timer.cancel()
      signal.removeEventListener('abort', abort)
      socket.close()
    }
    function fail(code: DnsError['code'], cause?: unknown): void {
      if (over) return
      end()
      reject(new ExchangeError(code, { cause }))
    }
    signal.addEventListener('abort', abort)
    socket.on('error', (error) => fail('unreachable', error))
    socket.on('message', (octets) => {
      if (over) return
      const reading = readReply(octets, query)
      if (reading.kind === 'stranger' && ++strangers < MAX_STRANGERS) return
      end()
      resolve(reading.kind === 'stranger' ? { kind: 'doubtful' } : reading)
    })
    socket.on('connect', () => socket.send(query.octets))
    if (signal.aborted) fail('timeout')
    else socket.connect(server.port, server.host)
  })
}

/** Asks by TCP, on a connection of its own. Rejects with an ExchangeError, also for a packet that is not the answer: on a connection there is nobody else. */
export function askByTcp(server: DnsServer, query: Query, { timeout, clock, signal }: ExchangeTerms): Promise<Judged> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.host, port: server.port, noDelay: true })
    const timer = clock.timeout(timeout, () => fail('timeout'))
    const abort = (): void => fail('timeout')
    let octets: Buffer = Buffer.alloc(0)
    const end = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', abort)
      socket.destroy()
    }
    function fail(code: DnsError['code'], cause?: unknown): void {
      end()
      reject(new ExchangeError(code, { cause }))
    }
    if (signal.aborted) return fail('timeout')
    signal.addEventListener('abort', abort)
    socket.on('error', (error) => fail('unreachable', error)).on('close', () => fail('unreachable'))
    socket.on('connect', () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(query.octets.length)
      socket.write(Buffer.concat([length, query.octets]))
    })
    socket.on('data', (more: Buffer) => {
      octets = octets.length === 0 ? more : Buffer.concat([octets, more])
      if (octets.length < 2 || octets.length < 2 + octets.readUInt16BE(0)) return
      const reading = readReply(octets.subarray(2, 2 + octets.readUInt16BE(0)), query)
      if (reading.kind === 'stranger' || reading.kind === 'truncated') return fail('bad-answer')
      end()
      resolve(reading)
    })
  })
}
