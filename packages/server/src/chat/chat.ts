// The chat rooms of one generation: the core and its features.

import type { Scope } from '../kernel/scope.ts'
import type { ChatConfig } from './config.ts'
import { Chat } from './core/contracts.ts'
import { openCore } from './core/core.ts'
import { RoomHalls } from './rooms/administration.ts'
import { openS2s } from './s2s/s2s.ts'

/** Opens chat until `scope` closes, and provides `Chat` in it. Call what it returns when the whole generation is up: sessions then use it. */
export async function openChat(scope: Scope, { features, s2s, ...config }: ChatConfig): Promise<() => void> {
  const core = await openCore(scope, config)
  scope.provide(Chat, core)
  scope.provide(RoomHalls, new Map())
  if (s2s.enabled) await openS2s(scope, s2s)
  for (const { key, module, config: own } of features) await module.create(own, scope.child(`chat.${key}`))
  return () => core.begin()
}
