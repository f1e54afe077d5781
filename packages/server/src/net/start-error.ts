// What keeps the network from starting.

/** A sentence for the administrator: what is wrong, where, and what to do about it. Printed without a stack. */
export class StartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StartError'
  }
}
