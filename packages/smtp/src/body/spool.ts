// Where messages wait that are too large to be held in memory. What keeps them is handed in.

/** Makes files for messages while they arrive. They need not outlive the process: a message that is here was not accepted yet. */
export interface Spool {
  /** A new, empty file. Rejects when there is no room for one. */
  create(): Promise<SpoolFile>
}

/** One message's file: written once from its beginning, then read as often as needed. Calls come one after the other while it is written. */
export interface SpoolFile {
  /** Appends; resolves when `octets` may be used for something else. Rejects when there is no room. */
  write(octets: Uint8Array): Promise<void>
  /** Nothing more is written: from here on it is read. */
  end(): Promise<void>
  /** The octets from `from` up to, not including, `to`, in pieces of some ten KiB. */
  read(from: number, to: number): AsyncIterable<Uint8Array>
  /** Gives the file up, at any time. Never rejects; may be called again. */
  discard(): Promise<void>
}
