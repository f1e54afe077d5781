// Why a command, or the connection, failed.

import type { ImapReply } from './raw.ts'
import type { ResponseCode, StatusResponse } from './response/types.ts'

/** How it failed: refused by the server (NO, BAD, BYE), or without an answer of it. */
export type FailureStatus =
  | 'NO'
  | 'BAD'
  /** The server has said goodbye. */
  | 'BYE'
  /** The connection is gone. */
  | 'CLOSED'
  /** The server said nothing for too long. */
  | 'TIMEOUT'
  /** What the server sends is larger than the client takes, or a consumer left more of it lying than is kept. */
  | 'LIMIT'
  /** The server does not speak IMAP as we know it, or someone speaks in its place. */
  | 'PROTOCOL'
  /** The client will not do this with this server: the text says why. */
  | 'UNSUPPORTED'

/** Why a command, or the connection, failed. `status` says how, `code` is the response code of a refusal (RFC 9051 §7.1, RFC 5530), `message` a sentence for people. */
export class ImapClientError extends Error {
  readonly status: FailureStatus
  /** Name of the server's response code in capitals (RFC 9051 §7.1), e.g. `TRYCREATE`, `AUTHENTICATIONFAILED`. */
  readonly code: string | undefined
  /** The server's text, else our own. */
  readonly text: string
  readonly responseCode: ResponseCode | undefined
  /** Of the raw client: the whole reply. */
  readonly reply: ImapReply | undefined

  constructor(
    status: FailureStatus,
    message: string,
    about: { readonly response?: StatusResponse; readonly reply?: ImapReply; readonly cause?: unknown } = {},
  ) {
    super(message, about.cause === undefined ? undefined : { cause: about.cause })
    this.name = 'ImapClientError'
    this.status = status
    this.responseCode = about.response?.code
    this.code = about.response?.code?.name ?? about.reply?.code?.split(' ')[0]
    this.text = about.response?.text ?? about.reply?.text ?? message
    this.reply = about.reply
  }
}

/** The error of a command that was answered NO or BAD. */
export function refused(command: string, response: StatusResponse): ImapClientError {
  const status = response.status === 'BAD' ? 'BAD' : 'NO'
  const code = response.code === undefined ? '' : `[${response.code.name}] `
  return new ImapClientError(status, `${command}: ${status} ${code}${response.text}`, { response })
}

/** For `catch`: a refusal (NO, BAD) does not matter, `instead` is taken; everything else does. */
export function unlessRefused<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof ImapClientError && (error.status === 'NO' || error.status === 'BAD')) return instead
    throw error
  }
}
