// RFC 8474 §5.2: which messages of an account are one thread, by the ids that their headers name.

import { createHash } from 'node:crypto'

/** A thread. Two that turn out to be one go on under the id of the older. */
export class Thread {
  readonly #id: string
  readonly #made: number
  #joined: Thread | undefined

  constructor(id: string, made: number) {
    this.#id = id
    this.#made = made
  }

  /** THREADID, as it is now. */
  get id(): string {
    return this.#root().#id
  }

  #root(): Thread {
    if (this.#joined === undefined) return this
    this.#joined = this.#joined.#root()
    return this.#joined
  }

  /** Makes one thread of two. Answers it. */
  join(other: Thread): Thread {
    const [a, b] = [this.#root(), other.#root()]
    if (a === b) return a
    const [older, younger] = a.#made < b.#made ? [a, b] : [b, a]
    younger.#joined = older
    return older
  }
}

/** The threads of one account: a union over Message-ID, References and In-Reply-To. */
export class ThreadIds {
  #threads = new Map<string, Thread>()
  #made = 0

  /** Takes a message in. `threading` is its key of that name (`messageKeys`); `own` becomes the id of a thread that no Message-ID names. */
  add(threading: string, own: string): Thread {
    const [, messageId = '', ...references] = threading.split('\n')
    const ids = [...references, messageId].filter((id) => id !== '').map(digest)
    let thread: Thread | undefined
    for (const id of ids) {
      const known = this.#threads.get(id)
      if (known !== undefined) thread = thread === undefined ? known : thread.join(known)
    }
    thread ??= new Thread(ids[0] === undefined ? own : `T${ids[0]}`, ++this.#made)
    for (const id of ids) this.#threads.set(id, thread)
    return thread
  }
}

const digest = (id: string): string => createHash('sha256').update(id).digest('base64url').slice(0, 22)
