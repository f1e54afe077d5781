// SMTP, Submission and LMTP: wire, server session, client.

export type { MessageBody, MessageSource } from './body/message.ts'
export type { Spool, SpoolFile } from './body/spool.ts'
export { type TextForm, textForm } from './body/text-form.ts'
export { type Clock, type ClockTimer, systemClock } from './clock.ts'
export {
  type BodyType,
  type DeliverBy,
  type Extensions,
  type MailParameters,
  mailParameters,
  type NotifyCondition,
  type RecipientParameters,
  recipientParameters,
} from './parameters.ts'
export {
  isAddressLiteral,
  isDomain,
  type Mailbox,
  mailbox,
  parseForwardPath,
  parseMailbox,
  parseReversePath,
  type PathArgument,
  type PathFault,
} from './path.ts'
export { type ReceivedClauses, receivedField, transmissionType } from './received.ts'
export { formatReply, reply, SmtpError, type SmtpReply } from './reply.ts'
export * from './server/contracts.ts'
export { type Connection, SmtpServer } from './server/server.ts'
export { decodeUtf8AddressXtext, decodeXtext, encodeUtf8AddressXtext, encodeXtext } from './xtext.ts'
export { SmtpClient, SmtpConnectionError } from './client/client.ts'
export * from './client/contracts.ts'
export { ClientPool, type PoolOptions } from './client/pool.ts'
