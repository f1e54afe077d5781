// @aviso/imap: IMAP4rev1 wire, server, a small client, the backend contract and the renderers a mail store needs.

export * from './backend.ts'
export { ImapClient, ImapClientError, type ImapClientOptions, type ImapReply } from './client/client.ts'
export { renderBodyStructure } from './render/body-structure.ts'
export { renderEnvelope } from './render/envelope.ts'
export { renderMessage, type RenderedMessage } from './render/message.ts'
export type { Alarm, ImapConnection, ImapLimits, ImapServerOptions, SaslMechanisms } from './server/options.ts'
export { DEFAULT_LIMITS } from './server/options.ts'
export { ImapServerSession } from './server/session.ts'
export { decodeMutf7, encodeMutf7, canonicalName, nameFault } from './wire/mailbox-name.ts'
