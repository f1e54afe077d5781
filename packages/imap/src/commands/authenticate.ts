// RFC 9051 §6.2.2 AUTHENTICATE, with the initial response of RFC 4959 (SASL-IR)

import type { ServerStep } from '@aviso/sasl'
import { defineCommand } from '../server/command.ts'
import { bad, no } from '../wire/errors.ts'

const EMPTY = new Uint8Array(0)

/** RFC 5530 code for a SASL condition (RFC 6120 §6.5). */
const CODES: Readonly<Record<string, string>> = {
  'temporary-auth-failure': 'UNAVAILABLE',
  'credentials-expired': 'EXPIRED',
  'mechanism-too-weak': 'PRIVACYREQUIRED',
  'account-disabled': 'AUTHORIZATIONFAILED',
  'invalid-authzid': 'AUTHORIZATIONFAILED',
}

function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw bad('The SASL response is not base64')
  return Buffer.from(text, 'base64')
}

export const authenticate = defineCommand({
  name: 'AUTHENTICATE',
  state: 'unauthenticated',
  news: 'none',
  parse(parser) {
    parser.space()
    const mechanism = parser.word()
    if (!parser.trySpace()) return { mechanism, initial: undefined }
    // `=` stands for an initial response that is there, and empty.
    const text = Buffer.from(parser.astring()).toString('latin1')
    return { mechanism, initial: text === '=' ? EMPTY : fromBase64(text) }
  },
  async execute(session, { mechanism, initial }) {
    const begin = session.mechanisms.get(mechanism)
    if (begin === undefined) {
      const why = session.canStartTls
        ? 'is not offered without TLS: use STARTTLS or the TLS port'
        : 'is not offered here'
      throw no(`The mechanism ${mechanism.slice(0, 40)} ${why}`, session.canStartTls ? 'PRIVACYREQUIRED' : 'CANNOT')
    }
    const exchange = begin()

    const respond = async (challenge: Uint8Array): Promise<Uint8Array> => {
      session.out.text(`+ ${Buffer.from(challenge).toString('base64')}\r\n`)
      const line = Buffer.from(await session.readLine()).toString('latin1')
      if (line === '*') {
        exchange.abort()
        throw bad('The client gave the exchange up')
      }
      return fromBase64(line)
    }

    // A mechanism that lets the client begin is told so without a challenge of its own (RFC 9051 §6.2.2).
    let step: ServerStep = await exchange.start(initial)
    while (step.kind === 'challenge') step = await exchange.next(await respond(step.data))
    if (step.kind === 'failure') {
      if (step.cause !== undefined) session.options.log?.('authentication-error', { error: step.cause })
      const code = CODES[step.condition] ?? 'AUTHENTICATIONFAILED'
      if (code !== 'UNAVAILABLE') session.loginFailed()
      throw no(step.text, code)
    }
    // IMAP has no place for data with the success: it goes as one more challenge, with an empty response (RFC 4422 §3.6).
    if (step.data !== undefined && step.data.length > 0 && (await respond(step.data)).length > 0) {
      throw bad('The response to the last challenge must be empty')
    }
    await session.login(step.identity)
    return { code: `CAPABILITY ${session.capabilities}`, text: 'Logged in' }
  },
})
