// All that a mail store keeps rendered of one message.

import { Headers, parseStructure } from '@aviso/mime'
import { renderBodyStructure } from './body-structure.ts'
import { renderEnvelope } from './envelope.ts'

/** The pieces named as `MetaField`. */
export interface RenderedMessage {
  readonly envelope: Uint8Array
  readonly bodyStructure: Uint8Array
  readonly body: Uint8Array
  /** The header block with its empty line, a copy. */
  readonly header: Uint8Array
}

/** Parses a message once and renders ENVELOPE, BODYSTRUCTURE and BODY. Never throws. */
export function renderMessage(bytes: Uint8Array): RenderedMessage {
  const root = parseStructure(bytes)
  return {
    envelope: renderEnvelope(Headers.parse(bytes, 0, root.bodyStart)),
    bodyStructure: renderBodyStructure(root, bytes, true),
    body: renderBodyStructure(root, bytes, false),
    header: bytes.slice(0, root.bodyStart),
  }
}
