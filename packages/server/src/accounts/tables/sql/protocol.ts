// What a table says to its database thread, and what that answers.

/** What the thread is started with. */
export interface SqlSetting {
  readonly path: string
  /** Statements run once, when the database is opened. */
  readonly init: readonly string[]
  /** One SELECT, with the key as `?` or `:key`. */
  readonly lookup: string
  readonly readOnly: boolean
}

export interface SqlQuestion {
  readonly id: number
  /** Undefined: only open the database. */
  readonly key: string | undefined
}

export interface SqlAnswer {
  readonly id: number
  readonly values?: readonly string[]
  readonly error?: string
}

/** Values of one look-up; more are an error. */
export const MAX_VALUES = 10_000
