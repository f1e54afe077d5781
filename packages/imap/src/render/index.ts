// What a mail store needs at ingest: the pieces of a message as FETCH answers them. Apart from the server, so that a store's worker loads no more than this.

export { renderBodyStructure } from './body-structure.ts'
export { COMMON_FIELDS, commonHeader } from './common-fields.ts'
export { renderEnvelope } from './envelope.ts'
export { renderMessage, type RenderedMessage } from './message.ts'
export { joinKeys, KEY_SEPARATOR } from './key-list.ts'
export { messageKeys } from './keys.ts'
