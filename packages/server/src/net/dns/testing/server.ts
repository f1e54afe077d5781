// For tests: a DNS server on loopback that answers from zones, by UDP and TCP, and can be made to fail, to be slow and to lie.

import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import {
  type Answer,
  AUTHENTIC_DATA,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet'
import { dnsName } from '../names.ts'
import { lookUp, type ZoneStep, type Zones, type ZoneType } from './zones.ts'

/** A question as it came. */
export interface FakeQuery {
  readonly transport: 'udp' | 'tcp'
  readonly id: number
  /** As it was written: upper and lower case as they came. */
  readonly name: string
  readonly type: string
  /** The port that it came from. */
  readonly port: number
  /** It asks whether the answer is validated. */
  readonly wantsAd: boolean
  readonly edns: boolean
}

export interface FakeDnsOptions {
  /** Milliseconds before each answer. */
  readonly delay?: number
  /** UDP answers are cut off, so that TCP is asked. */
  readonly truncate?: boolean
  /** Never sets the AD bit. */
  readonly insecure?: boolean
  /** What goes out in the place of the answer: other packets, octets, or none. */
  meddle?(query: FakeQuery, answer: Packet & { readonly rcode?: string }): readonly (Packet | Uint8Array)[]
}

/** Octets of a UDP answer that is not cut off. */
const MAX_UDP = 1232

/** A running fake server. */
export class FakeDns {
  readonly #zones: Zones
  readonly #options: FakeDnsOptions
  readonly #tcp: Server
  readonly #udp: UdpSocket
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #closing: Promise<void> | undefined
  /** Every question so far. */
  readonly queries: FakeQuery[] = []
  /** `127.0.0.1:port`, the same for UDP and TCP. */
  readonly address: string

  private constructor(zones: Zones, options: FakeDnsOptions, tcp: Server, udp: UdpSocket) {
    this.#zones = zones
    this.#options = options
    this.#tcp = tcp
    this.#udp = udp
    this.address = `127.0.0.1:${(tcp.address() as AddressInfo).port}`
    udp.on('message', (octets, { address, port }) => {
      this.#answer(octets, 'udp', port, (reply) => udp.send(reply, port, address))
    })
    tcp.on('connection', (socket) => this.#serve(socket))
  }

  /** Starts one on 127.0.0.1, at a port that the system chooses. */
  static async start(zones: Zones, options: FakeDnsOptions = {}): Promise<FakeDns> {
    for (;;) {
      const tcp = createServer()
      tcp.listen(0, '127.0.0.1')
      await once(tcp, 'listening')
      const udp = createSocket('udp4')
      udp.bind((tcp.address() as AddressInfo).port, '127.0.0.1')
      try {
        await once(udp, 'listening')
        return new FakeDns(zones, options, tcp, udp)
      } catch {
        // Somebody has this port for UDP.
        udp.close()
        tcp.close()
      }
    }
  }

  /** The questions so far, as `MX example.org`. */
  get asked(): readonly string[] {
    return this.queries.map(({ type, name }) => `${type} ${name.toLowerCase()}`)
  }

  /** Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([
      new Promise<void>((resolve) => this.#udp.close(resolve)),
      new Promise<unknown>((resolve) => this.#tcp.close(resolve)),
    ])
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy())
    let octets = Buffer.alloc(0)
    socket.on('data', (more: Buffer) => {
      octets = Buffer.concat([octets, more])
      while (octets.length >= 2 && octets.length >= 2 + octets.readUInt16BE(0)) {
        const length = octets.readUInt16BE(0)
        this.#answer(octets.subarray(2, 2 + length), 'tcp', socket.remotePort ?? 0, (reply) => {
          const prefix = Buffer.alloc(2)
          prefix.writeUInt16BE(reply.length)
          if (!socket.destroyed) socket.write(Buffer.concat([prefix, reply]))
        })
        octets = octets.subarray(2 + length)
      }
    })
  }

  #answer(octets: Buffer, transport: FakeQuery['transport'], port: number, send: (reply: Uint8Array) => void): void {
    const packet = decode(octets)
    const question = packet.questions?.[0]
    if (question === undefined) return
    const query: FakeQuery = {
      transport,
      port,
      id: packet.id ?? 0,
      name: question.name,
      type: question.type,
      wantsAd: ((packet.flags ?? 0) & AUTHENTIC_DATA) !== 0,
      edns: packet.additionals?.some(({ type }) => type === 'OPT') === true,
    }
    this.queries.push(query)
    const answer = this.#compose(query)
    if (answer === undefined) return
    const replies = this.#options.meddle?.(query, answer) ?? [answer]
    const go = (): void => {
      for (const reply of replies) send(reply instanceof Uint8Array ? reply : this.#encode(reply, transport))
    }
    if (this.#options.delay === undefined) return go()
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      go()
    }, this.#options.delay)
    this.#timers.add(timer)
  }

  #encode(reply: Packet, transport: FakeQuery['transport']): Uint8Array {
    const whole = encode(reply)
    if (transport === 'tcp' || (whole.length <= MAX_UDP && this.#options.truncate !== true)) return whole
    return encode({ ...reply, answers: [], authorities: [], flags: (reply.flags ?? 0) | TRUNCATED_RESPONSE })
  }

  /** The honest answer; undefined for silence. */
  #compose({ id, name, type, wantsAd, edns }: FakeQuery): (Packet & { readonly rcode?: string }) | undefined {
    const { failure, steps, exists, secure, ttl } = lookUp(this.#zones, dnsName(name) ?? name, type as ZoneType)
    if (failure === 'silence') return undefined
    const rcode = failure === undefined ? (exists ? 0 : NXDOMAIN) : failure === 'SERVFAIL' ? SERVFAIL : REFUSED
    const ad = failure === undefined && secure && wantsAd && this.#options.insecure !== true
    return {
      type: 'response',
      id,
      flags: RECURSION_DESIRED | RECURSION_AVAILABLE | (ad ? AUTHENTIC_DATA : 0) | rcode,
      questions: [{ name, type: type as ZoneType }],
      answers: failure === undefined ? steps.flatMap(recordsOf) : [],
      authorities:
        failure === undefined && steps.at(-1)?.type !== type
          ? [{ type: 'SOA', name: 'invalid', ttl, data: { mname: 'ns.invalid', rname: 'a.invalid', minimum: ttl } }]
          : [],
      additionals: edns
        ? [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize: MAX_UDP,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ]
        : [],
    }
  }
}

const SERVFAIL = 2
const NXDOMAIN = 3
const REFUSED = 5

function recordsOf({ name, type, records }: ZoneStep): Answer[] {
  const { ttl = 300 } = records
  switch (type) {
    case 'A':
      return (records.A ?? []).map((data) => ({ type, name, ttl, data }))
    case 'AAAA':
      return (records.AAAA ?? []).map((data) => ({ type, name, ttl, data }))
    case 'CNAME':
      return records.CNAME === undefined ? [] : [{ type, name, ttl, data: records.CNAME }]
    case 'PTR':
      return (records.PTR ?? []).map((data) => ({ type, name, ttl, data }))
    case 'MX':
      return (records.MX ?? []).map(([preference, exchange]) => ({
        type,
        name,
        ttl,
        data: { preference, exchange: exchange === '' ? '.' : exchange },
      }))
    case 'TXT':
      return (records.TXT ?? []).map((text) => ({ type, name, ttl, data: stringsOf(text) }))
    case 'SRV':
      return (records.SRV ?? []).map(([priority, weight, port, target]) => ({
        type,
        name,
        ttl,
        data: { priority, weight, port, target: target === '' ? '.' : target },
      }))
    case 'TLSA':
      return (records.TLSA ?? []).map(([usage, selector, matchingType, hex]) => ({
        type,
        name,
        ttl,
        data: { usage, selector, matchingType, certificate: Buffer.from(hex, 'hex') },
      }))
  }
}

/** A string of a TXT record has at most 255 octets. */
function stringsOf(text: string | readonly string[]): Buffer[] {
  const strings: Buffer[] = []
  for (const part of typeof text === 'string' ? [text] : text) {
    const octets = Buffer.from(part)
    for (let at = 0; at === 0 || at < octets.length; at += 255) strings.push(octets.subarray(at, at + 255))
  }
  return strings
}
