// RFC 5321 §4.1.1.1: what a server offered in its answer to EHLO, and the limits it named (RFC 9422).

import type { SmtpReply } from '../reply.ts'

export class Offer {
  /** Keyword (upper case) and its words. */
  readonly extensions: ReadonlyMap<string, readonly string[]>

  constructor(extensions: ReadonlyMap<string, readonly string[]> = new Map()) {
    this.extensions = extensions
  }

  static read(answer: SmtpReply): Offer {
    return new Offer(new Map(answer.lines.slice(1).map(readExtension)))
  }

  has(keyword: string): boolean {
    return this.extensions.has(keyword)
  }

  /** The first word behind a keyword as a number; 0 where there is none. */
  number(keyword: string): number {
    const word = this.extensions.get(keyword)?.[0] ?? ''
    return /^\d{1,15}$/.test(word) ? Number(word) : 0
  }

  /** A limit of RFC 9422, Infinity where none was named. */
  limit(name: 'RCPTMAX' | 'MAILMAX' | 'RCPTDOMAINMAX'): number {
    const word = this.extensions.get('LIMITS')?.find((limit) => limit.startsWith(`${name}=`)) ?? ''
    const digits = word.slice(name.length + 1)
    return /^[1-9]\d{0,5}$/.test(digits) ? Number(digits) : Infinity
  }
}

/** One line of the answer to EHLO. Some old servers write `AUTH=PLAIN`. */
function readExtension(line: string): [string, readonly string[]] {
  const [keyword = '', ...words] = line
    .trim()
    .replace(/^AUTH=/i, 'AUTH ')
    .toUpperCase()
    .split(/ +/)
  return [keyword, words]
}
