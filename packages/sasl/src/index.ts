// RFC 4422: SASL mechanisms, client and server side, without I/O.

export { type Announcement, announcementHash } from './announcement.ts'
export type { Authorize } from './authorization.ts'
export {
  serverEndPoint,
  tlsChannelBinding,
  type ChannelBinding,
  type ChannelBindingType,
  type TlsSession,
} from './channel-binding.ts'
export { clientMechanism, type ClientOptions } from './client.ts'
export {
  MECHANISMS,
  SaslFailure,
  type Challenge,
  type ClientMechanism,
  type CredentialSource,
  type Failure,
  type FailureCondition,
  type Identity,
  type MechanismName,
  type PasswordVerdict,
  type RefusalCondition,
  type ScramHash,
  type ScramKeys,
  type ServerMechanism,
  type ServerStep,
  type Success,
} from './contract.ts'
export { MESSAGE_OCTETS } from './exchange.ts'
export type { GuestIdentity } from './mechanisms/anonymous.ts'
export {
  offeredTokenMechanisms,
  tokenClient,
  TOKEN_MECHANISMS,
  tokenMechanismName,
  type TokenMechanismName,
  tokenServer,
  type TokenSource,
} from './mechanisms/hashed-token.ts'
export type { ExternalIdentity } from './mechanisms/external.ts'
export type { TokenRequest, TokenVerdict, VerifyToken } from './mechanisms/oauth.ts'
export {
  DEFAULT_ITERATIONS,
  deriveScram,
  LEAST_ITERATIONS,
  MOST_ITERATIONS,
  saltedPassword,
  scramKeys,
} from './mechanisms/scram-keys.ts'
export { prepareName, preparePassword } from './prepare.ts'
export { mechanismName, offered, serverMechanism, type OfferConditions, type ServerOptions } from './server.ts'
