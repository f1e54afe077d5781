// What the server says of its own accord, and the rules of saying it.

import { reply, SmtpError, type SmtpReply } from '../reply.ts'

export const OK = reply(250, '2.0.0', 'Ok')
export const SENDER_OK = reply(250, '2.1.0', 'Sender ok')
export const RECIPIENT_OK = reply(250, '2.1.5', 'Recipient ok')
export const ACCEPTED = reply(250, '2.0.0', 'Message accepted')
export const LOCAL_ERROR = reply(451, '4.3.0', 'Local error, try again later')
export const SHUTTING_DOWN = reply(421, '4.3.2', 'Service is going down, try again later')

/** Verbs of other protocols. A browser was tricked into talking to us (cross-protocol request forgery), or it is a scanner. */
export const FOREIGN_VERB = /^(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT|DELETE|PATCH|[A-Z-]+:)$/

/** A command out of sequence only because one before it, in the same group of pipelined commands, was refused: no error of the client's. */
export class Consequence extends SmtpError {}

export function outOfSequence(text: string): SmtpError {
  return new SmtpError(503, '5.5.1', text)
}

export function notTrusted(verb: string): SmtpError {
  return new SmtpError(550, '5.7.0', `${verb} is for trusted neighbours`)
}

export function noArgument(verb: string, argument: string): void {
  if (argument !== '') throw new SmtpError(501, '5.5.4', `${verb} takes no argument`)
}

export function isReplies(answer: SmtpReply | readonly SmtpReply[]): answer is readonly SmtpReply[] {
  return Array.isArray(answer)
}

/** RFC 2033 §4.2: the replies come in order; naming the recipient lets people read them, too. */
export function naming(address: string, answer: SmtpReply): SmtpReply {
  return { ...answer, lines: answer.lines.map((line) => (line.includes(address) ? line : `<${address}> ${line}`)) }
}
