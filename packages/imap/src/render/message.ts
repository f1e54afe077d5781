// All that a mail store keeps rendered of one message.

import { Headers, parseStructure, previewText } from '@aviso/mime'
import { renderBodyStructure } from './body-structure.ts'
import { commonHeader } from './common-fields.ts'
import { renderEnvelope } from './envelope.ts'

/** The pieces named as `MetaField`. */
export interface RenderedMessage {
  readonly envelope: Uint8Array
  readonly bodyStructure: Uint8Array
  readonly body: Uint8Array
  /** The header block with its empty line, a copy. */
  readonly header: Uint8Array
  readonly commonHeader: Uint8Array
  /** At most 200 characters in UTF-8 (RFC 8970 §3.1). */
  readonly preview: Uint8Array
}

/** Parses a message once and renders all of it. Never throws. */
export function renderMessage(bytes: Uint8Array): RenderedMessage {
  const root = parseStructure(bytes)
  const headers = Headers.parse(bytes, 0, root.bodyStart)
  return {
    envelope: renderEnvelope(headers),
    bodyStructure: renderBodyStructure(root, bytes, true),
    body: renderBodyStructure(root, bytes, false),
    header: bytes.slice(0, root.bodyStart),
    commonHeader: commonHeader(headers),
    preview: Buffer.from(previewText(root, bytes)),
  }
}
