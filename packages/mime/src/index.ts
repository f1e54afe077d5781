// RFC 5322 and MIME without I/O: structure by offsets, headers, addresses, dates, text, and composing.

export { parseAddressList, type AddressGroup, type AddressOrGroup, type Mailbox } from './address-list.ts'
export { encodeBinaryParts } from './binary.ts'
export { BinaryEncoder } from './binary-encoder.ts'
export { decodeBody, decodeText, isAttachment, parameter, previewText } from './body.ts'
export { decodeCharset } from './charset.ts'
export { compose, field, formatAddress, formatParameter, type Attachment, type Composition } from './compose.ts'
export {
  parseContentType,
  parseDisposition,
  type ContentType,
  type Disposition,
  type Parameter,
} from './content-fields.ts'
export { formatDate, parseDate, type MailDate } from './date.ts'
export { Headers, type HeaderField } from './headers.ts'
export { visibleText } from './html-text.ts'
export { MailAddress, normaliseDomain, parseMailAddress, quoteLocal } from './mail-address.ts'
export { messageIds } from './message-ids.ts'
export { copyNormalised, normalisedLength, normaliseNewlines } from './newlines.ts'
export { toSevenBit } from './seven-bit.ts'
export { parseStructure, type Part, type StructureLimits } from './structure.ts'
export { baseSubject, singleSpaced } from './subject.ts'
export {
  decodeBase64,
  decodeQuotedPrintable,
  decodeTransfer,
  encodeBase64,
  encodeQuotedPrintable,
} from './transfer-encoding.ts'
export { decodeWords, encodePhrase, encodeWords } from './words.ts'
