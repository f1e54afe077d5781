// @aviso/xmpp: XML streams, stanzas, addresses, stream negotiation for servers, and a client.

export { NS } from './namespaces.ts'
export { Jid, JidError, prepareDomain, prepareLocal, prepareResource } from './jid.ts'
export { Attributes, Element, el, type AttributeValues, type Child, type Node } from './element.ts'
export { escapeAttribute, escapeText, serialise, serialiseContent } from './serialise.ts'
export { readElement, readStartTag, NO_CONTEXT, type NamespaceContext, type ReaderLimits } from './element-reader.ts'
export { StreamParser } from './stream-parser.ts'
export { DEFAULT_PARSER_LIMITS, type ParserLimits, type StreamHandlers } from './stream-reader.ts'
export { STREAM_CONDITIONS, StreamError, type StreamCondition, type StreamErrorDetail } from './stream-error.ts'
export {
  STANZA_CONDITIONS,
  StanzaError,
  errorReply,
  resultReply,
  type StanzaCondition,
  type StanzaErrorDetail,
  type StanzaErrorType,
} from './stanza-error.ts'
export { systemTimers, type CloseReason, type ConnectionLimits, type Timers } from './stream/contracts.ts'
export {
  DEFAULT_STREAM_LIMITS,
  type ServerStreamHandlers,
  type ServerStreamLimits,
  type ServerStreamOptions,
  type StreamState,
} from './stream/server-contracts.ts'
export { FeatureTexts, streamLimits } from './stream/features.ts'
export { ServerStream } from './stream/server-stream.ts'
export { Underway } from './stream/underway.ts'
export {
  DEFAULT_PEER_LIMITS,
  PeerStream,
  type PeerState,
  type PeerStreamHandlers,
  type PeerStreamLimits,
  type PeerStreamOptions,
} from './stream/peer-stream.ts'
export {
  ComponentStream,
  componentHandshake,
  type ComponentStreamHandlers,
  type ComponentStreamOptions,
} from './stream/component-stream.ts'
export { type Dialback, dialbackKey, dialbackXml, readDialback } from './stream/dialback.ts'
export type { Defer } from './stream/outbox.ts'
export { streamHeader, type HeaderAttributes } from './stream/header.ts'
export { CLOSE_MESSAGE, MESSAGE_SEPARATOR } from './stream/messages.ts'
export { type Sasl2End, type Sasl2Handlers, type Sasl2Request, type Sasl2Task, type UserAgent } from './stream/sasl2.ts'
export { saslFailure, saslOctets, saslText } from './stream/sasl.ts'
export { Client, type ClientOptions } from './client.ts'
export { AuthenticationError, type Fast, type KeptToken, type Sasl2Options } from './client-login.ts'
