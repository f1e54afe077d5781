// The milter protocol, version 6: packets as libmilter's mfdef.h has them. A packet is a length (4 octets, network order), a letter, and what belongs to it.

import type { Wire } from '../wire.ts'

export const VERSION = 6

/** What a milter may ask to do. */
export const ACTIONS = {
  addHeaders: 0x01,
  changeBody: 0x02,
  addRecipient: 0x04,
  deleteRecipient: 0x08,
  changeHeaders: 0x10,
  quarantine: 0x20,
  changeSender: 0x40,
  addRecipientWithParameters: 0x80,
  chooseMacros: 0x100,
} as const
/** All of them. */
export const ALL_ACTIONS = Object.values(ACTIONS).reduce((all, one) => all | one, 0)

/** What a milter does not want to see (`no...`), or does not answer (`silent...`). */
export const STEPS = {
  noConnect: 0x01,
  noHello: 0x02,
  noMail: 0x04,
  noRecipient: 0x08,
  noBody: 0x10,
  noHeaders: 0x20,
  noEndOfHeaders: 0x40,
  silentHeader: 0x80,
  noUnknown: 0x100,
  noData: 0x200,
  /** It may answer "skip" to a piece of the body. */
  skip: 0x400,
  silentConnect: 0x1000,
  silentHello: 0x2000,
  silentMail: 0x4000,
  silentRecipient: 0x8000,
  silentData: 0x10000,
  silentUnknown: 0x20000,
  silentEndOfHeaders: 0x40000,
  silentBody: 0x80000,
  leadingSpace: 0x100000,
} as const
/** What we can do of these: everything but the recipients that were refused, which a milter need not see, and the blanks before values, which we leave out. */
export const OFFERED_STEPS = Object.values(STEPS).reduce((all, one) => all | one, 0) & ~STEPS.leadingSpace

/** Octets of one piece of the body. */
export const BODY_PIECE = 65_535
/** Octets of a packet that a milter may send: a header field of some length, or a piece of a body. */
const MAX_PACKET = 2 * 1024 * 1024

export interface Packet {
  readonly letter: string
  readonly data: Buffer
}

/** A packet ready to be sent. Texts are UTF-8 and end with NUL. */
export function packet(letter: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const pieces = parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part.replaceAll('\0', '')}\0`) : part))
  const length = 1 + pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(length)
  head.write(letter, 4, 'latin1')
  return Buffer.concat([head, ...pieces])
}

export const uint32 = (...numbers: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * numbers.length)
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number >>> 0, 4 * i)
  return bytes
}

export const uint16 = (number: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(number)
  return bytes
}

/** The milter said something that is not in the protocol. */
export class MilterError extends Error {}

/** The next packet. */
export async function readPacket(wire: Wire): Promise<Packet> {
  const length = (await wire.read(4)).readUInt32BE()
  if (length < 1 || length > MAX_PACKET) throw new MilterError(`a packet of ${length} octets`)
  const all = await wire.read(length)
  return { letter: all.toString('latin1', 0, 1), data: all.subarray(1) }
}

/** The texts of a packet, each of which ends with NUL (the last one need not). */
export function texts(data: Buffer): readonly string[] {
  const all: string[] = []
  let at = 0
  while (at < data.byteLength) {
    const end = data.indexOf(0, at)
    all.push(data.toString('utf8', at, end < 0 ? data.byteLength : end))
    if (end < 0) break
    at = end + 1
  }
  return all
}

/** What was settled at the start. */
export interface Negotiated {
  readonly steps: number
  readonly actions: number
  /** The macros that it wants, by the number of the stage; where it does not say, it gets those that are usual. */
  readonly macros: ReadonlyMap<number, readonly string[]>
}

/** Numbers of stages in a request for macros. */
export const MACRO_STAGES = {
  connect: 0,
  hello: 1,
  mail: 2,
  recipient: 3,
  data: 4,
  endOfMessage: 5,
  endOfHeaders: 6,
} as const
export type MacroStage = keyof typeof MACRO_STAGES

/** Reads the milter's answer to our offer. Throws MilterError when it wants what was not offered. */
export function readNegotiation({ letter, data }: Packet): Negotiated {
  if (letter !== 'O' || data.byteLength < 12) throw new MilterError('it does not negotiate')
  const version = data.readUInt32BE(0)
  const actions = data.readUInt32BE(4)
  const steps = data.readUInt32BE(8)
  if (version < 2 || version > VERSION) throw new MilterError(`it speaks version ${version}`)
  if ((actions & ~ALL_ACTIONS) !== 0) throw new MilterError(`it wants unknown actions: 0x${actions.toString(16)}`)
  if ((steps & ~OFFERED_STEPS) !== 0) throw new MilterError(`it wants unknown steps: 0x${steps.toString(16)}`)
  const macros = new Map<number, readonly string[]>()
  for (let at = 12; at + 4 <= data.byteLength;) {
    const stage = data.readUInt32BE(at)
    const end = data.indexOf(0, at + 4)
    const list = data.toString('latin1', at + 4, end < 0 ? data.byteLength : end)
    macros.set(
      stage,
      list.split(/[ ,]+/).filter((name) => name !== ''),
    )
    at = end < 0 ? data.byteLength : end + 1
  }
  return { steps, actions, macros }
}
