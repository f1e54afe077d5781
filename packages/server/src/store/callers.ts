// What rooms call: a method for each operation of their store.

import type { Scale, StoreDefinition } from './contracts.ts'

/** Asks for an operation of a store on a database. */
export type Send = (scale: Scale, database: string, operation: string, args: unknown) => Promise<unknown>

/** A class with one method for each operation, so that binding a store to a database is one small allocation. */
export function callerOf(definition: StoreDefinition, send: Send): new (scale: Scale, database: string) => object {
  class Caller {
    readonly scale: Scale
    readonly database: string
    constructor(scale: Scale, database: string) {
      this.scale = scale
      this.database = database
    }
  }
  for (const operation of Object.keys(definition.operations))
    Object.defineProperty(Caller.prototype, operation, {
      value(this: Caller, args: unknown) {
        return send(this.scale, this.database, operation, args)
      },
    })
  return Caller
}
