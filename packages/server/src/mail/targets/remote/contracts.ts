// How one message goes to one destination: the door of this room, and the words that its files share.

import type { BodyType, DeliverBy, NotifyCondition } from '@aviso/smtp'

/** How sure we are that a server is the destination's own: its name came from a config or a validated answer of the DNS, from an MTA-STS policy, or from anybody. */
export type MxLevel = 'none' | 'mtasts' | 'dnssec'

/** What TLS reached: nothing, protection from listeners, or certainty of who is there. */
export type TlsLevel = 'none' | 'encrypted' | 'authenticated'

const MX_LEVELS: readonly MxLevel[] = ['none', 'mtasts', 'dnssec']
const TLS_LEVELS: readonly TlsLevel[] = ['none', 'encrypted', 'authenticated']

export const reachesMx = (level: MxLevel, wanted: MxLevel): boolean =>
  MX_LEVELS.indexOf(level) >= MX_LEVELS.indexOf(wanted)
export const reachesTls = (level: TlsLevel, wanted: TlsLevel): boolean =>
  TLS_LEVELS.indexOf(level) >= TLS_LEVELS.indexOf(wanted)
export const higherMx = (a: MxLevel, b: MxLevel): MxLevel => (reachesMx(a, b) ? a : b)
export const higherTls = (a: TlsLevel, b: TlsLevel): TlsLevel => (reachesTls(a, b) ? a : b)

/** One recipient of a parcel. */
export interface ParcelRecipient {
  readonly address: string
  readonly notify?: readonly NotifyCondition[]
  readonly originalRecipient?: { readonly type: string; readonly address: string }
}

/** One message for one destination domain. */
export interface Parcel {
  /** The reverse-path; null for `<>`. */
  readonly sender: string | null
  readonly recipients: readonly ParcelRecipient[]
  readonly message: {
    /** Octets. */
    readonly size: number
    /** The message in pieces from octet `from` (default 0) on, anew each time it is called. */
    chunks(from?: number): AsyncIterable<Uint8Array>
  }
  /** Where it goes: the domain of the recipients, in whatever spelling, or an address literal (`[192.0.2.1]`). */
  readonly domain: string
  /** REQUIRETLS (RFC 8689): rather not at all than unprotected. */
  readonly requireTls: boolean
  /** `TLS-Required: No` (RFC 8689 §5): rather unprotected than not at all. REQUIRETLS goes before it. */
  readonly tlsOptional: boolean
  /** The header holds UTF-8, or the client asked for SMTPUTF8. */
  readonly smtpUtf8: boolean
  /** Undefined: found out from the message. */
  readonly body: BodyType | undefined
  readonly ret: 'FULL' | 'HDRS' | undefined
  readonly envid: string | undefined
  /** RFC 2852: what is left of the time, when this is called. */
  readonly deliverBy: DeliverBy | undefined
  /** RFC 6710. */
  readonly priority: number | undefined
}

/** A reply as notifications, log and trace tell it. The class of `enhanced` is always the one of `code`. */
export interface Answer {
  /** 2yz: the other server has taken the message. 4yz: try again later. 5yz: never. */
  readonly code: number
  readonly enhanced: string
  /** One line. */
  readonly text: string
}

/** What became of one recipient. */
export interface RecipientResult {
  readonly address: string
  readonly answer: Answer
  /** The server that said so, by its name; undefined where no server was asked. */
  readonly remote: string | undefined
  readonly mx: MxLevel
  readonly tls: TlsLevel
  /** For log and trace: `TLSv1.3, dane`, `not encrypted`; empty where nothing was sent. */
  readonly how: string
  /** The other server promised to send notifications of delivery itself (RFC 3461 §6.2). */
  readonly relayed: boolean
  /** The connection broke when all had been sent: nobody knows whether it was taken, and trying again may double it (RFC 1047). */
  readonly ambiguous: boolean
}

/** Brings parcels to where they go. */
export interface Courier {
  /**
   * Tries once. Resolves with one result for each recipient, in their order: every trouble is a result, and what we cannot tell is one that says *later*.
   * Rejects only with the signal's reason, when nothing was handed over yet.
   */
  send(parcel: Parcel, signal: AbortSignal): Promise<readonly RecipientResult[]>
}
