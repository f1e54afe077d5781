// RFC 3030 §3, RFC 6376 §5.3: a binary mail as text, for whoever keeps lines of text, or signs what must hold on every way.

import { BinaryEncoder } from '@aviso/mime'
import { textForm } from '@aviso/smtp'
import type { Awaitable, Mail } from './contracts.ts'
import { inMemory, Message } from './message.ts'

/** Octets up to which the text is made once and held; a larger one is made as it is read. */
const HELD = 256 * 1024

/** The message with its binary parts in base64; the same object where the mail is text already. */
export function asText(mail: Mail, message: Message): Awaitable<Message> {
  return mail.parameters.body === 'BINARYMIME' ? converted(message) : message
}

async function converted(message: Message): Promise<Message> {
  const text = await textForm(message)
  if (!text.changed) return message
  const head = headAsText(message.head)
  if (text.size > HELD) return Message.from(head, { size: text.size, bytes: undefined, chunks: text.chunks })
  const pieces: Uint8Array[] = []
  for await (const piece of text.chunks()) pieces.push(piece)
  return Message.from(head, inMemory(Buffer.concat(pieces)))
}

/** A header is read as a message whose body has no octets. */
function headAsText(head: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = []
  const hand = (octets: Uint8Array): void => void pieces.push(octets)
  const encoder = new BinaryEncoder()
  encoder.push(head, hand)
  encoder.end(hand)
  return Buffer.concat(pieces)
}
