// For tests of protocols: messages of known shape.

import { compose } from '../index.ts'

export { cut, fuzz, mutate, Random } from './fuzz.ts'

/** A small text message with CRLF line ends, always the same octets for the same subject. */
export function sampleMessage(subject = 'Hello'): Uint8Array {
  return compose({
    headers: [
      ['From', 'Anna <anna@example.org>'],
      ['To', 'Ben <ben@example.org>'],
      ['Subject', subject],
      ['Date', 'Sun, 22 Nov 2026 15:22:05 +0000'],
      ['Message-ID', '<sample@example.org>'],
    ],
    text: 'Hello Ben,\r\nthis is a test.\r\n',
  })
}

/** A message with text in two forms, a picture and a forwarded message. */
export function sampleWithParts(): Uint8Array {
  return compose({
    headers: [
      ['From', 'Anna <anna@example.org>'],
      ['To', 'Ben <ben@example.org>'],
      ['Subject', 'Grüße'],
      ['Date', 'Sun, 22 Nov 2026 15:22:05 +0000'],
      ['Message-ID', '<parts@example.org>'],
    ],
    text: 'Grüße\r\n',
    html: '<p>Grüße</p>\r\n',
    attachments: [
      { filename: 'dot.png', contentType: 'image/png', content: Uint8Array.of(0x89, 0x50, 0x4e, 0x47) },
      { contentType: 'message/rfc822', content: sampleMessage('Inner') },
    ],
  })
}
