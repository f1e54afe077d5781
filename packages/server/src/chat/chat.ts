// The chat rooms of one generation: the core and its features.

import type { Scope } from '../kernel/scope.ts'
import type { ChatConfig } from './config.ts'
import { Chat } from './core/contracts.ts'
import { openCore } from './core/core.ts'

/** Opens chat until `scope` closes, and provides `Chat` in it. Call what it returns when the whole generation is up: sessions then use it. */
export async function openChat(scope: Scope, { features, ...config }: ChatConfig): Promise<() => void> {
  const core = await openCore(scope, config)
  scope.provide(Chat, core)
  for (const { key, module, config: own } of features) await module.create(own, scope.child(`chat.${key}`))
  return () => core.begin()
}
