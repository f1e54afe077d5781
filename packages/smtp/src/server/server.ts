// A server of SMTP, Submission or LMTP: the connections it was given, and their common end.

import type { Duplex } from 'node:stream'
import type { Peer, SmtpServerOptions, SmtpSession } from './contracts.ts'
import { Service } from './service.ts'
import { Session } from './session.ts'

export interface Connection {
  readonly peer?: Peer
  /** The stream is under TLS already (implicit TLS). */
  readonly secure?: boolean
}

/** One service, SMTP, Submission or LMTP as its options say. It listens nowhere: it is given connections, and shares its limits among them. */
export class SmtpServer {
  readonly #service: Service
  /** Open sessions, and who waits for their end. */
  readonly #sessions = new Map<SmtpSession, { readonly session: Session; readonly waiting: (() => void)[] }>()
  #draining = false
  #drained: (() => void) | undefined

  constructor(options: SmtpServerOptions) {
    this.#service = new Service(options)
  }

  /** Connections that are not closed yet. */
  get sessions(): number {
    return this.#sessions.size
  }

  /** Octets of messages held right now. */
  get bytesInFlight(): number {
    return this.#service.budget.used
  }

  /** Serves one connection, a socket or anything like it. Takes the stream over wholly. */
  accept(socket: Duplex, { peer = {}, secure = false }: Connection = {}): SmtpSession {
    const session = new Session(this.#service, socket, peer, secure)
    const waiting: (() => void)[] = []
    this.#sessions.set(session, { session, waiting })
    session.onClose(() => {
      this.#sessions.delete(session)
      for (const tell of waiting) tell()
      if (this.#sessions.size === 0) this.#drained?.()
    })
    if (this.#draining) session.shutdown()
    void session.serve()
    return session
  }

  /** Lets sessions end: idle ones now with 421 4.3.2, others after their transaction. Resolves when the last connection is closed. */
  shutdown(): Promise<void> {
    this.#draining = true
    const drained = new Promise<void>((resolve) => {
      const before = this.#drained
      this.#drained = () => {
        before?.()
        resolve()
      }
    })
    for (const { session } of this.#sessions.values()) session.shutdown()
    if (this.#sessions.size === 0) this.#drained?.()
    return drained
  }

  /** As `shutdown`, for one session. Resolves at once when it is over already. */
  end(session: SmtpSession): Promise<void> {
    const open = this.#sessions.get(session)
    if (open === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      open.waiting.push(resolve)
      open.session.shutdown()
    })
  }

  /** Cuts all connections. */
  destroy(): void {
    for (const { session } of this.#sessions.values()) session.destroy()
  }
}
