// The session's way to its handler: refusals become replies, accidents become 451 and are reported.

import { SmtpError, type SmtpReply } from '../reply.ts'
import type { SessionHandler, SmtpSession } from './contracts.ts'
import { LOCAL_ERROR } from './replies.ts'
import type { Service } from './service.ts'

/** Until the policy has been made, nothing is allowed. */
const deny = (): SmtpReply => LOCAL_ERROR
const nobody: SessionHandler = { mail: deny, rcpt: deny, data: deny }

export class Policy {
  readonly #service: Service
  readonly #session: SmtpSession
  #handler = nobody

  constructor(service: Service, session: SmtpSession) {
    this.#service = service
    this.#session = session
  }

  /** Makes the handler, and asks it whether the connection is welcome. */
  connect(): Promise<SmtpReply | undefined> {
    return this.ask('CONNECT', () => {
      this.#handler = this.#service.options.handler(this.#session)
      return this.#handler.connect?.()
    })
  }

  /** Asks the handler. A refusal it throws is its reply; for anything else thrown there is one that says so. */
  async ask(
    command: string,
    question: (handler: SessionHandler) => SmtpReply | void | Promise<SmtpReply | void>,
  ): Promise<SmtpReply | undefined> {
    try {
      return (await question(this.#handler)) ?? undefined
    } catch (error) {
      return this.#refusal(error, command).reply
    }
  }

  /** The same for any kind of answer. Throws SmtpError and nothing else. */
  async attempt<T>(command: string, question: (handler: SessionHandler) => T | Promise<T>): Promise<T> {
    try {
      return await question(this.#handler)
    } catch (error) {
      throw this.#refusal(error, command)
    }
  }

  #refusal(error: unknown, command: string): SmtpError {
    if (error instanceof SmtpError) return error
    this.#service.report(error, this.#session, command)
    return new SmtpError(451, '4.3.0', 'Local error, try again later', { cause: error })
  }
}
