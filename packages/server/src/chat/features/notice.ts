// A text that an administrator sets by command, or by the config where none was set.

import type { Scope } from '../../kernel/scope.ts'
import { CORE_TOPIC } from '../../store/contracts.ts'
import type { Store } from '../../store/contracts.ts'
import { type NoticeChange, type NoticeName, noticesStore } from './notices.store.ts'

const MAX_TEXT = 10_000

export class Notice {
  readonly #store: Store
  readonly #name: NoticeName
  readonly #fallback: string | undefined
  #text: string | undefined

  private constructor(store: Store, name: NoticeName, fallback: string | undefined) {
    this.#store = store
    this.#name = name
    this.#fallback = fallback
  }

  /** Reads the text and follows its changes until `scope` closes. */
  static async open(scope: Scope, store: Store, name: NoticeName, fallback: string | undefined): Promise<Notice> {
    const notice = new Notice(store, name, fallback)
    let changed = false
    scope.defer(
      store.bus.subscribe(CORE_TOPIC, (change) => {
        if (change.kind !== 'chat-notice' || (change as NoticeChange).name !== name) return
        changed = true
        notice.#text = (change as NoticeChange).text
      }),
    )
    const text = await store.core(noticesStore).get({ name })
    if (!changed) notice.#text = text
    return notice
  }

  get text(): string | undefined {
    return this.#text ?? this.#fallback
  }

  /** Sets the text; undefined takes it away, and lets that of the config speak again. */
  set(text: string | undefined): Promise<void> {
    return this.#store.core(noticesStore).set({ name: this.#name, text: text?.slice(0, MAX_TEXT) })
  }
}
