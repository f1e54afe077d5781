// RFC 3463: answers, ours and those of other servers, with codes that fit each other.

import type { SmtpReply } from '@aviso/smtp'
import type { Answer } from './contracts.ts'

/** Characters of another server's text that are kept. */
const MAX_TEXT = 1000

/** An answer of our own making. Throws RangeError where the two codes are of different classes. */
export function answer(code: number, enhanced: string, text: string): Answer {
  if (enhanced[0] !== String(code)[0]) throw new RangeError(`${enhanced} does not fit ${code}`)
  return { code, enhanced, text }
}

/** Another server's reply. Its enhanced code is kept where it is of the reply's class, else it is `x.0.0`; its text is made one line without controls. */
export function answerOf({ code, enhanced, lines }: SmtpReply): Answer {
  const digit = Math.floor(code / 100)
  const class_ = digit === 2 || digit === 5 ? digit : 4
  const text = lines
    .join(' ')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, MAX_TEXT)
  // A reply of a class that has no business here (354 where 250 was due) is a broken server's: later.
  if (class_ !== digit) return answer(451, '4.5.0', text)
  return { code, enhanced: enhanced?.startsWith(`${class_}.`) === true ? enhanced : `${class_}.0.0`, text }
}

export const isPermanent = ({ code }: Answer): boolean => code >= 500
export const isDelivered = ({ code }: Answer): boolean => code < 300

/** Something between us and the message kept it from being sent: no answer of the destination's. */
export class Undeliverable extends Error {
  readonly answer: Answer
  /** The server that said so, if one did. */
  readonly remote: string | undefined

  constructor(reason: Answer, remote?: string, options?: ErrorOptions) {
    super(`${reason.code} ${reason.enhanced} ${reason.text}`, options)
    this.name = 'Undeliverable'
    this.answer = reason
    this.remote = remote
  }
}
