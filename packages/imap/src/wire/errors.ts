// What the server answers instead of doing a command.

/** A command that ends in `NO` or `BAD`. `code` is a response code (RFC 9051 §7.1) without brackets; `message` is a sentence for a human. */
export class CommandError extends Error {
  readonly status: 'NO' | 'BAD'
  readonly code: string | undefined
  constructor(status: 'NO' | 'BAD', message: string, code?: string) {
    super(message)
    this.name = 'CommandError'
    this.status = status
    this.code = code
  }
}

export const no = (message: string, code?: string): CommandError => new CommandError('NO', message, code)
export const bad = (message: string, code?: string): CommandError => new CommandError('BAD', message, code)
