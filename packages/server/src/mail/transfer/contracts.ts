// What a mail archive of any form is read as.

/** Where a date was said, and in which zone (minutes east of UTC). Milliseconds since the epoch. */
export interface Moment {
  readonly time: number
  readonly zone: number
}

/** The place of a message in its source, for reports. */
export interface Place {
  readonly file: string
  /** In an mbox: of its From_ line. */
  readonly offset?: number
}

/** What a folder holds, in its order. `units` are what it adds to the folder's `units`, for telling how far the reading is. */
export type SourceItem =
  | {
      readonly kind: 'message'
      readonly place: Place
      readonly units: number
      readonly bytes: Uint8Array
      readonly flags: readonly string[]
      /** Undefined where nothing tells when it came. */
      readonly date: Moment | undefined
    }
  /** Nothing to take: deleted in the source, say. */
  | { readonly kind: 'void'; readonly units: number }
  /** A message (or what should be one) that cannot be taken; the rest can. */
  | { readonly kind: 'problem'; readonly place: Place; readonly units: number; readonly reason: string }

/** One folder of a source. */
export interface SourceFolder {
  /** Levels separated by `/`; INBOX for the one where new mail came in. */
  readonly name: string
  readonly kind: 'mbox' | 'maildir' | 'eml'
  readonly path: string
  /** How much there is to read, about: octets, or what stands for them. */
  readonly units: number
}
