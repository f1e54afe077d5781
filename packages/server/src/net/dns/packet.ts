// RFC 1035 §4, RFC 6891, RFC 6840 §5.7: questions as octets, and what comes back, judged before anything of it is believed.

import { type Answer as PacketRecord, AUTHENTIC_DATA, decode, encode, type Packet, RECURSION_DESIRED } from 'dns-packet'
import type { Random } from '../../kernel/random.ts'

export type QuestionType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'SRV' | 'TLSA' | 'CNAME' | 'PTR'

/** A question as one packet asks it. */
export interface Query {
  readonly id: number
  /** In mixed case: who did not see the question cannot know its spelling. */
  readonly name: string
  readonly type: QuestionType
  readonly octets: Buffer
}

/** Octets of a UDP answer that we take: what passes any path without being cut in fragments, which can be forged (DNS flag day 2020). */
const UDP_PAYLOAD = 1232

/** No honest answer has more records than this; each costs time to read. */
const MAX_RECORDS = 512

/** Makes a question with a random id and a random spelling (draft-vixie-dnsext-dns0x20). Without `edns` it is one that the oldest servers understand. */
export function makeQuery(random: Random, name: string, type: QuestionType, edns = true): Query {
  const bits = random.bytes(2 + Math.ceil(name.length / 8))
  const id = bits.readUInt16BE(0)
  let spelled = ''
  for (const [i, character] of [...name].entries())
    spelled += ((bits[2 + (i >> 3)] ?? 0) >> (i & 7)) & 1 ? character.toUpperCase() : character
  const octets = encode({
    type: 'query',
    id,
    // RFC 6840 §5.7: the AD bit in a question says that the one in the answer will be understood.
    flags: RECURSION_DESIRED | (edns ? AUTHENTIC_DATA : 0),
    questions: [{ type, name: spelled, class: 'IN' }],
    additionals: edns
      ? [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: UDP_PAYLOAD,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ]
      : [],
  })
  return { id, name: spelled, type, octets }
}

/** What a packet turned out to be. */
export type Reading =
  /** Not the answer to this question: somebody else's, a late one, or a guess of one who would like to answer in the server's place. */
  | { readonly kind: 'stranger' }
  /** The server does not keep the spelling, or somebody guesses: ask again by TCP, which cannot be forged from aside. */
  | { readonly kind: 'doubtful' }
  | { readonly kind: 'truncated' }
  | { readonly kind: 'broken' }
  | {
      readonly kind: 'reply'
      readonly rcode: number
      readonly authentic: boolean
      readonly answers: readonly PacketRecord[]
      readonly authorities: readonly PacketRecord[]
    }

/** Judges a packet that came in answer to `query`. */
export function readReply(octets: Buffer, query: Query): Reading {
  if (octets.length < 12 || octets.readUInt16BE(0) !== query.id) return { kind: 'stranger' }
  const flags = octets.readUInt16BE(2)
  // A response (bit 15) to a standard query (opcode 0).
  if ((flags & 0xf800) !== 0x8000) return { kind: 'stranger' }
  const rcode = flags & 0xf
  let records = 0
  for (const at of [6, 8, 10]) records += octets.readUInt16BE(at)
  const questions = octets.readUInt16BE(4)
  // RFC 1035 §4.1.1: a server that cannot read a question may leave it out.
  if (questions === 0 && rcode === FORMERR) return { kind: 'reply', rcode, ...NOTHING }
  if (questions !== 1 || records > MAX_RECORDS) return { kind: 'broken' }
  let packet: Packet
  try {
    packet = decode(octets)
  } catch {
    return { kind: 'broken' }
  }
  const question = packet.questions?.[0]
  if (question?.type !== query.type || question.class !== 'IN') return { kind: 'stranger' }
  if (question.name.toLowerCase() !== query.name.toLowerCase()) return { kind: 'stranger' }
  if (question.name !== query.name) return { kind: 'doubtful' }
  if ((flags & TRUNCATED) !== 0) return { kind: 'truncated' }
  const { answers = [], authorities = [] } = packet
  return { kind: 'reply', rcode, authentic: (flags & AUTHENTIC_DATA) !== 0, answers, authorities }
}

const TRUNCATED = 0x200
const NOTHING = { authentic: false, answers: [], authorities: [] } as const

export const NOERROR = 0
export const FORMERR = 1
export const SERVFAIL = 2
export const NXDOMAIN = 3
export const NOTIMP = 4
export const REFUSED = 5
