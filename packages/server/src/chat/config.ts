// The `chat` part of the config.

import * as v from 'valibot'
import { moduleMap } from '../kernel/config/modules.ts'
import type { Registry } from '../kernel/module.ts'
import { features } from './core/contracts.ts'
import { coreConfig } from './core/core.ts'
import { chatFeatures } from './modules.ts'
import { s2sConfig } from './s2s/config.ts'

export const chatConfig = (registry: Registry) =>
  v.strictObject({
    ...coreConfig.entries,
    s2s: v.optional(s2sConfig, {}),
    features: moduleMap(registry, features, Object.fromEntries(chatFeatures.map(({ name }) => [name, true]))),
  })

export type ChatConfig = v.InferOutput<ReturnType<typeof chatConfig>>
